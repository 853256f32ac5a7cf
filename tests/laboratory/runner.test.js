import assert from "node:assert/strict";
import test from "node:test";
import { ENGINE, load } from "./load.js";

const { Data, Network, Runner } = load(ENGINE);
const SIDE = { depth: 2, width: 8, batchSize: 16 };
const BOTH = { shared: { seed: 3 }, left: { ...SIDE, norm: "batch" }, right: SIDE };

/** @param {any} link one question after another, each with its answer */
function asking(link) {
  return (message) => new Promise((resolve) => {
    link.onmessage = ({ data }) => resolve(data);
    link.postMessage(message);
  });
}

test("equal settings give equal sides, snapshot by snapshot", () => {
  const session = Runner.create({ data: "moons" }, BOTH.left, BOTH.left);
  for (let i = 0; i < 3; i++) {
    const { left, right } = session.snapshot({ mode: i % 2 ? "train" : "eval" }).fields;
    assert.deepEqual(left, right);
    session.advance(7);
  }
  const { loss, layers } = session.snapshot({});
  assert.deepEqual(loss.left, loss.right);
  assert.deepEqual(layers.left, layers.right);
});

test("any settings in range train, or say at which step they diverged", () => {
  const uniform = Data.mulberry32(1), pick = (list) => list[Math.floor(uniform() * list.length)];
  const between = ([low, high]) => Math.min(high, Math.max(low, low * (high / low) ** uniform())); // evenly in its logarithm
  const whole = (range) => Math.round(between(range)), { LIMITS } = Network;
  for (let i = 0; i < 60; i++) {
    const side = {
      norm: pick(Network.NORMS), place: pick(Network.PLACES), activation: pick(Network.ACTIVATIONS),
      optimizer: pick(Network.OPTIMIZERS), depth: whole(LIMITS.depth), width: whole(LIMITS.width),
      scale: between(LIMITS.scale), rate: between(LIMITS.rate), batchSize: whole([2, 32]),
      weightDecay: pick([0, uniform()]), dropout: pick([0, 0.9 * uniform()]), momentum: uniform(), eps: between(LIMITS.eps),
    };
    const shared = { data: pick(Data.NAMES.slice(0, -1)), samples: whole([20, 200]), noise: uniform() / 2, seed: i };
    const session = Runner.create(shared, side, side), what = JSON.stringify({ shared, side });
    session.advance(5);
    const { fields, loss, diverged } = session.snapshot({ grid: 4, mode: pick(["train", "eval"]) });
    assert.deepEqual([fields.left, loss.left], [fields.right, loss.right], what);
    assert.ok(fields.left.every((p) => p >= 0 && p <= 1) || diverged.left > 0, what);
  }
});

test("a side does not depend on the other, nor on when it is looked at", () => {
  const alone = Runner.create(BOTH.shared, BOTH.left, null), watched = Runner.create(BOTH.shared, BOTH.left, BOTH.right);
  alone.advance(30);
  for (let i = 0; i < 30; i++) {
    watched.advance(1);
    watched.snapshot({ grid: 8, mode: i % 2 ? "train" : "eval" });
  }
  assert.deepEqual(watched.snapshot({}).fields.left, alone.snapshot({}).fields.left);
  assert.equal(alone.snapshot({}).fields.right, undefined);
});

test("the batches of an epoch are all points of the training half, in another order each time", () => {
  const session = Runner.create({ samples: 64 }, { ...SIDE, batchSize: 8 }, null), { train } = session.data;
  const seen = [];
  const { model } = session.sides.left, step = model.step;
  model.step = (x, y, masks) => {
    seen.push(...Array.from(y, (_, i) => x[2 * i]));
    return step(x, y, masks);
  };
  session.advance(8);
  const xs = Array.from(train.y, (_, i) => train.x[2 * i]);
  assert.deepEqual(seen.slice(0, 32).toSorted(), xs.toSorted());
  assert.deepEqual(seen.slice(32).toSorted(), xs.toSorted());
  assert.notDeepEqual(seen.slice(32), seen.slice(0, 32));
});

test("a batch larger than the training half is all of it", () => {
  const session = Runner.create({ samples: 40 }, { ...SIDE, batchSize: 256, norm: "batch" }, null);
  session.advance(3);
  assert.equal(session.sides.left.model.layers()[0].count, 20);
});

test("a snapshot holds what a page shows", () => {
  const session = Runner.create(BOTH.shared, BOTH.left, BOTH.right);
  const first = session.snapshot({ grid: 10 });
  assert.deepEqual([first.steps, first.grid, first.mode, first.batchLoss.left], [0, 10, "eval", null]);
  session.advance(5);
  const { steps, fields, layers, loss, accuracy, batchLoss, diverged } = session.snapshot({ grid: 10, mode: "train" });
  assert.equal(steps, 5);
  assert.equal(fields.left.length, 100);
  assert.ok(fields.left.every((p) => p >= 0 && p <= 1));
  assert.notEqual(loss.left.train, loss.left.eval);
  assert.equal(loss.right.train, loss.right.eval);
  assert.ok(batchLoss.left > 0 && accuracy.left.eval >= 0 && accuracy.left.eval <= 1);
  assert.deepEqual(diverged, { left: null, right: null });
  assert.deepEqual([layers.left.length, layers.right[0].runningMean], [2, null]);
  for (const { histogram } of [...layers.left, ...layers.right]) {
    const sum = histogram.counts.reduce((a, b) => a + b) + histogram.below + histogram.above;
    assert.ok(Math.abs(sum - 1) < 1e-5);
  }
});

test("in train mode the field uses the last batch, in eval mode the memory", () => {
  const session = Runner.create(BOTH.shared, BOTH.left, BOTH.right);
  session.advance(3);
  const [train, evaluated] = ["train", "eval"].map((mode) => session.snapshot({ mode }).fields);
  assert.notDeepEqual(train.left, evaluated.left);
  assert.deepEqual(train.right, evaluated.right);
});

test("a side that diverges says when and stops; the other goes on", () => {
  const session = Runner.create({}, { depth: 8, width: 32, rate: 100, scale: 100 }, { ...SIDE, norm: "batch" });
  session.advance(50);
  const { diverged, steps, loss } = session.snapshot({});
  assert.ok(diverged.left > 0 && diverged.left <= 50 && diverged.right === null);
  assert.equal(steps, 50);
  assert.ok(Number.isFinite(loss.right.eval));
});

test("drawn points train, batches and all", () => {
  const points = [[-1, 0, 0], [-0.9, 0.1, 0], [-0.8, 0, 0], [1, 0, 1], [0.9, 0, 1], [0.8, 0.1, 1]];
  const session = Runner.create({ data: "drawn", points }, { ...SIDE, norm: "batch" }, SIDE);
  session.advance(50);
  assert.equal(session.snapshot({}).accuracy.left.train, 1);
});

test("on the page the link answers what the runner says", async () => {
  const link = Runner.connect({ workers: false }), ask = asking(link);
  const session = Runner.create(BOTH.shared, BOTH.left, BOTH.right);
  const first = await ask({ type: "start", ...BOTH, mode: "eval", grid: 9 });
  assert.deepEqual(first.fields, session.snapshot({ grid: 9 }).fields);
  session.advance(4);
  const next = await ask({ type: "step", steps: 4, mode: "train", grid: 9 });
  assert.deepEqual(next.fields, session.snapshot({ grid: 9, mode: "train" }).fields);
  assert.deepEqual([next.steps, next.asked, next.type], [4, 4, "snapshot"]);
  assert.ok(next.trained >= 0 && next.drawn >= 0);
  link.terminate();
});

test("a start drops the answers that were still to come", async () => {
  const link = Runner.connect({ workers: false }), steps = [];
  const done = new Promise((resolve) => {
    link.onmessage = ({ data }) => {
      steps.push(data.steps);
      if (data.steps === 2) resolve(undefined);
    };
  });
  link.postMessage({ type: "start", ...BOTH, mode: "eval", grid: 4 });
  link.postMessage({ type: "step", steps: 5, mode: "eval", grid: 4 });
  link.postMessage({ type: "start", ...BOTH, mode: "eval", grid: 4 });
  link.postMessage({ type: "step", steps: 2, mode: "eval", grid: 4 });
  await done;
  assert.deepEqual(steps, [0, 2]);
});

test("a wrong setting is answered in a sentence, and the next start works", async () => {
  const link = Runner.connect({ workers: false }), ask = asking(link);
  const wrong = await ask({ type: "start", ...BOTH, right: { ...SIDE, rate: -1 }, mode: "eval", grid: 4 });
  assert.deepEqual([wrong.type, wrong.message], ["error", "rate is -1: choose a number from 0.00001 to 100"]);
  assert.equal((await ask({ type: "start", ...BOTH, mode: "eval", grid: 4 })).steps, 0);
  assert.throws(() => link.postMessage({ type: "run" }), { name: "RangeError", message: /type is run/ });
  assert.throws(() => Runner.connect({ workers: false }).postMessage({ type: "step" }), /send start before it/);
  assert.throws(() => Runner.create({}, null, null), { name: "RangeError", message: /no side has settings/ });
});

/** What Runner needs of a browser: a worker that runs the source of its address. */
function browserOf(broken) {
  const sources = new Map();
  class Worker {
    constructor(address) {
      if (broken) setTimeout(() => this.onerror(new Error("forbidden")));
      else this.scope = new Function("postMessage", `let onmessage; ${sources.get(address)}; return (data) => onmessage({ data });`)(
        (data) => setTimeout(() => this.onmessage({ data: structuredClone(data) })),
      );
    }
    postMessage(message) {
      const copy = structuredClone(message);
      if (this.scope) setTimeout(() => this.scope(copy));
    }
    terminate() {}
  }
  const URL = { createObjectURL: (blob) => { sources.set("blob:1", blob.text); return "blob:1"; } };
  class Blob { constructor([text]) { this.text = text; } }
  return { Worker, URL, Blob };
}

for (const broken of [false, true])
  test(`the source of the factories is a worker${broken ? "; where none may be made the page trains" : ""}`, async () => {
    const { Runner: mine } = load(ENGINE, browserOf(broken));
    const link = mine.connect(), ask = asking(link), session = Runner.create(BOTH.shared, BOTH.left, BOTH.right);
    await ask({ type: "start", ...BOTH, mode: "eval", grid: 9 });
    session.advance(6);
    assert.deepEqual((await ask({ type: "step", steps: 6, mode: "eval", grid: 9 })).fields, session.snapshot({ grid: 9 }).fields);
    link.terminate();
  });
