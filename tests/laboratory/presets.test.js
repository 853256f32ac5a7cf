// Each sentence of a preset, on the test half, for the seeds 0 to 19. A network that is said to be worse gets
// the best of several rates, chosen for each seed by its own test loss.
import assert from "node:assert/strict";
import test from "node:test";
import { load } from "./load.js";

const { Network, Data, Runner, PRESETS } = load();
const SEEDS = Array.from({ length: 20 }, (_, i) => i), ENOUGH = 19;

/** Train sides of a preset from a seed; return loss and accuracy of the test half in both modes. */
function outcome(preset, seed, { steps = preset.steps, shared = {}, both = {}, left = {}, right = {} } = {}) {
  const { settings } = preset;
  const session = Runner.create({ ...settings.shared, ...shared, seed }, { ...settings.left, ...both, ...left }, { ...settings.right, ...both, ...right });
  session.advance(steps);
  return { left: session.sides.left.evaluate(), right: session.sides.right.evaluate() };
}

/** Assert that something holds for at least 19 of 20 seeds. */
function holds(name, what, enough = ENOUGH) {
  const failed = SEEDS.filter((seed) => !what(seed));
  assert.ok(SEEDS.length - failed.length >= enough, `${name}: not for the seeds ${failed.join(", ")}`);
}

const preset = (key) => PRESETS.find((one) => one.key === key);
const guess = ({ accuracy }) => accuracy.eval > 0.4 && accuracy.eval < 0.6;

test("presets are complete: settings in range, a page that exists, equal seeds of data and weights", () => {
  assert.deepEqual(PRESETS.map(({ key }) => key), ["eval-gap", "one-survives", "batches-of-two", "ten-times", "plain-wins"]);
  for (const { title, watch, chapter, settings, steps } of PRESETS) {
    Data.check(settings.shared);
    for (const side of [settings.left, settings.right]) Network.check(side);
    assert.ok(title && watch.endsWith(".") && steps > 0 && ["train", "eval"].includes(settings.mode));
    assert.match(chapter, /^chapters\/\d\d-[a-z-]+\.html$/);
  }
});

test("eval gap: after four steps the left lags; after 40 it has caught up", () => {
  const story = preset("eval-gap");
  for (const rate of [story.settings.left.rate, 0.05 / 3, 0.15])
    holds(`at rate ${rate}`, (seed) => {
      const { left, right } = outcome(story, seed, { both: { rate } });
      assert.deepEqual(left.loss.train, right.loss.train); // the same weights
      return left.accuracy.train >= 0.9 && left.accuracy.eval <= 0.6 && right.accuracy.eval >= 0.85;
    });
  holds("after 40 steps", (seed) => {
    const { left } = outcome(story, seed, { steps: 40 });
    return Math.abs(left.accuracy.eval - left.accuracy.train) < 0.05;
  });
});

test("one survives: BN at rate 3; both at 0.3; none at 9", () => {
  const story = preset("one-survives");
  holds("at rate 3", (seed) => {
    const { left, right } = outcome(story, seed);
    return guess(left) && right.accuracy.eval >= 0.97;
  });
  holds("at rate 0.3", (seed) => outcome(story, seed, { both: { rate: 0.3 } }).left.accuracy.eval >= 0.97);
  holds("at rate 9", (seed) => {
    const { left, right } = outcome(story, seed, { both: { rate: 9 } });
    return guess(left) && right.accuracy.eval < 0.97;
  });
});

test("batches of two: LN learns, BN does not at any rate; in batches of 32 it does", () => {
  const story = preset("batches-of-two");
  const worst = SEEDS.map(() => 0);
  for (const rate of [0.01, 0.03, 0.1, 0.3])
    for (const seed of SEEDS) worst[seed] = Math.max(worst[seed], outcome(story, seed, { right: { rate } }).right.accuracy.eval);
  holds("BN at its best rate", (seed) => worst[seed] <= 0.7);
  holds("LN", (seed) => outcome(story, seed).left.accuracy.eval >= 0.95);
});

test("ten times: the first loss and the end", () => {
  const story = preset("ten-times");
  holds("first loss", (seed) => {
    const { left, right } = outcome(story, seed, { steps: 0 });
    return left.loss.eval > 5 && right.loss.train < 3;
  });
  holds("end", (seed) => {
    const { left, right } = outcome(story, seed);
    return guess(left) && right.accuracy.eval >= 0.97;
  });
});

test("plain wins: four times less loss than BN at its best rate in batches of 8; level in batches of 64", () => {
  const story = preset("plain-wins");
  const best = SEEDS.map(() => Infinity);
  for (const rate of [0.03, 0.1, 0.3, 1])
    for (const seed of SEEDS) best[seed] = Math.min(best[seed], outcome(story, seed, { right: { rate } }).right.loss.eval);
  holds("loss", (seed) => best[seed] > 4 * outcome(story, seed).left.loss.eval);
  holds("accuracy", (seed) => {
    const { left, right } = outcome(story, seed);
    return left.accuracy.eval >= 0.97 && right.accuracy.eval >= 0.97;
  });
});
