// Each sentence of a preset, on the test half, for the seeds 0 to 19; FIRST_SEED=5000 moves them. A network that is said to be worse gets
// the best of several rates, chosen for each seed by its own test loss.
import assert from "node:assert/strict";
import test from "node:test";
import { load } from "./load.js";

const { Network, Data, Runner, PRESETS } = load();
const SEEDS = Array.from({ length: 20 }, (_, i) => Number(process.env.FIRST_SEED ?? 0) + i), ENOUGH = 19;

/** Train sides of a preset from a seed; return loss and accuracy of the test half in both modes. */
function outcome(preset, seed, { steps = preset.steps, shared = {}, both = {} } = {}) {
  const { settings } = preset;
  const session = Runner.create({ ...settings.shared, ...shared, seed }, { ...settings.left, ...both }, { ...settings.right, ...both });
  session.advance(steps);
  return { left: session.sides.left.evaluate(), right: session.sides.right.evaluate() };
}

/** Train one side alone, with other settings. */
function only(preset, side, seed, changes = {}) {
  const { shared, [side]: settings } = preset.settings;
  const session = Runner.create({ ...shared, seed }, { ...settings, ...changes }, null);
  session.advance(preset.steps);
  return session.sides.left.evaluate();
}

/** The lowest test loss in eval mode over some rates. Not a number is worse than any. */
function lowest(preset, side, seed, rates) {
  const losses = rates.map((rate) => only(preset, side, seed, { rate }).loss.eval);
  return Math.min(...losses.filter((loss) => !Number.isNaN(loss)));
}

/** Assert that something holds for at least 19 of 20 seeds. */
function holds(name, what) {
  const failed = SEEDS.filter((seed) => !what(seed));
  assert.ok(SEEDS.length - failed.length >= ENOUGH, `${name}: not for the seeds ${failed.join(", ")}`);
}

const preset = (key) => PRESETS.find((one) => one.key === key);
const guess = ({ accuracy }) => accuracy.eval > 0.4 && accuracy.eval <= 0.6;

test("presets are complete: settings in range, a page that exists, equal seeds of data and weights", () => {
  assert.deepEqual(PRESETS.map(({ key }) => key), ["eval-gap", "one-survives", "batches-of-two", "ten-times", "plain-wins"]);
  for (const { title, watch, reach, chapter, settings, steps } of PRESETS) {
    Data.check(settings.shared);
    for (const side of [settings.left, settings.right]) Network.check(side);
    assert.ok(title && watch.endsWith(".") && reach.endsWith(".") && steps > 0 && ["train", "eval"].includes(settings.mode));
    assert.match(chapter, /^chapters\/\d\d-[a-z-]+\.html$/);
  }
});

test("eval gap: after four steps the left lags; after 40 it has caught up", () => {
  const story = preset("eval-gap");
  for (const [rate, most] of [[story.settings.left.rate, 0.6], [0.05 / 3, 0.7], [0.15, 0.7]])
    holds(`at rate ${rate}`, (seed) => {
      const { left, right } = outcome(story, seed, { both: { rate } });
      assert.deepEqual(left.loss.train, right.loss.train); // the same weights
      return left.accuracy.train >= 0.9 && left.accuracy.eval <= most && right.accuracy.eval >= 0.85;
    });
  holds("on moons", (seed) => {
    const { accuracy } = outcome(story, seed, { shared: { data: "moons" } }).left;
    return accuracy.train - accuracy.eval < 0.15;
  });
  holds("after 40 steps", (seed) => {
    const { left } = outcome(story, seed, { steps: 40 });
    return Math.abs(left.accuracy.eval - left.accuracy.train) < 0.05;
  });
});

test("one survives: BN at rate 3; plain at 0.3; neither at 30", () => {
  const story = preset("one-survives");
  for (const data of ["circles", "moons"]) {
    const ends = new Map(SEEDS.map((seed) => [seed, outcome(story, seed, { shared: { data } })]));
    holds(`plain at rate 3 on ${data}`, (seed) => guess(ends.get(seed).left));
    holds(`BN at rate 3 on ${data}`, (seed) => ends.get(seed).right.accuracy.eval >= 0.9);
  }
  holds("at rate 0.3", (seed) => only(story, "left", seed, { rate: 0.3 }).accuracy.eval >= 0.9);
  holds("at rate 30", (seed) => {
    const { left, right } = outcome(story, seed, { both: { rate: 30 } });
    return left.accuracy.eval < 0.9 && right.accuracy.eval < 0.9;
  });
});

test("batches of two: LN learns, BN does not", () => {
  const story = preset("batches-of-two");
  holds("BN", (seed) => lowest(story, "right", seed, [0.003, 0.01, 0.03, 0.1]) > 0.6);
  holds("LN", (seed) => only(story, "left", seed).accuracy.eval >= 0.9);
  for (const side of ["left", "right"])
    holds(`${side} in batches of 32`, (seed) => only(story, side, seed, { batchSize: 32, rate: 0.1 }).accuracy.eval >= 0.95);
});

test("ten times: the first loss, the end, and the plain network at its best rate", () => {
  const story = preset("ten-times");
  holds("first loss", (seed) => {
    const { left, right } = outcome(story, seed, { steps: 0 });
    return left.loss.eval > 50 && right.loss.train < 5;
  });
  const ends = new Map(SEEDS.map((seed) => [seed, outcome(story, seed)]));
  holds("plain", (seed) => guess(ends.get(seed).left));
  holds("BN", (seed) => ends.get(seed).right.accuracy.eval >= 0.97);
  const rates = [0.001, 0.003, 0.01, 0.03];
  holds("plain at its best rate", (seed) => lowest(story, "left", seed, rates) > ends.get(seed).right.loss.eval);
});

test("ten times: on moons", () => {
  const ends = new Map(SEEDS.map((seed) => [seed, outcome(preset("ten-times"), seed, { shared: { data: "moons" } })]));
  holds("plain", (seed) => guess(ends.get(seed).left));
  holds("BN", (seed) => ends.get(seed).right.accuracy.eval >= 0.97);
});

test("plain wins: less loss than BN at its best rate in batches of 8; about level in batches of 64", () => {
  const story = preset("plain-wins");
  holds("in batches of 8", (seed) => {
    const { left, right } = outcome(story, seed);
    const sure = left.accuracy.eval >= 0.95 && right.accuracy.eval >= 0.95;
    return sure && lowest(story, "right", seed, [0.03, 0.1, 0.3, 1]) >= 3 * left.loss.eval;
  });
  holds("in batches of 64", (seed) => {
    const { left, right } = outcome(story, seed, { both: { batchSize: 64 } });
    return right.loss.eval < 2 * left.loss.eval;
  });
  holds("on spirals", (seed) => {
    const { left, right } = outcome(story, seed, { shared: { data: "spirals" } });
    return right.loss.eval < 2 * left.loss.eval;
  });
});
