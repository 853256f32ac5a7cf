import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { ENGINE, load } from "./load.js";

const { Data, Network } = load(ENGINE);
const CASES = JSON.parse(readFileSync(new URL("cases.json", import.meta.url), "utf8"));
const f64 = Float64Array.from.bind(Float64Array);

/** Assert equality to 1e-9, relative or absolute. */
function close(found, expected, what, tolerance = 1e-9) {
  assert.equal(found.length, expected.length, what);
  for (let i = 0; i < expected.length; i++)
    if (!(Math.abs(found[i] - expected[i]) <= tolerance * Math.max(1, Math.abs(expected[i]))))
      assert.fail(`${what}[${i}] is ${found[i]}, torch has ${expected[i]}`);
}

const named = ({ norm, place, activation, optimizer, widths, batchSize, weightDecay, dropout, momentum }) =>
  [norm, place, activation, optimizer, widths, batchSize, weightDecay, dropout, momentum].join(" ");

for (const [i, { settings, start, steps, gradients, end, points }] of CASES.entries())
  test(`steps are torch's: case ${i}, ${named(settings)}`, () => {
    const model = Network.create(settings, i);
    model.load(start);
    const losses = steps.map(({ x, y, masks }) => model.step(f64(x), f64(y), masks));
    close(losses, steps.map((step) => step.loss), "loss");
    for (const name of Object.keys(gradients)) close(model.gradients[name], gradients[name], `gradient of ${name}`);
    const state = model.state();
    for (const name of Object.keys(end)) {
      // BN undoes what such a bias adds: its gradient is nothing but rounding, 1e-17, which Adam divides by
      // little more than 1e-8.
      const rounding = settings.norm === "batch" && settings.optimizer === "adam" && name.endsWith("linear.bias");
      close(state[name], end[name], name, rounding ? 1e-7 : 1e-9);
    }
    close(model.forward(f64(points.x), false), points.eval, "logits in eval mode");
    close(model.forward(f64(points.x), true), points.train, "logits in train mode");
  });

test("the cases hold every pair of choices", () => {
  const choices = { norm: Network.NORMS, activation: Network.ACTIVATIONS, optimizer: Network.OPTIMIZERS, place: Network.PLACES };
  for (const [a, ofA] of Object.entries(choices))
    for (const [b, ofB] of Object.entries(choices))
      for (const one of ofA)
        for (const other of ofB)
          if (a !== b && !(`${one} ${other}`.match(/none|after/g)?.length > 1))
            assert.ok(CASES.some(({ settings }) => settings[a] === one && settings[b] === other), `${a} ${one}, ${b} ${other}`);
});

/** A batch of some points, and a network that has a smooth loss. */
function example(changes = {}, n = 6) {
  const settings = { widths: [5, 3], activation: "tanh", rate: 0.1, batchSize: n, ...changes };
  const { train } = Data.make({ seed: 3, samples: 2 * 20 });
  return { model: Network.create(settings, 1), x: train.x.slice(0, 2 * n), y: train.y.slice(0, n) };
}

for (const norm of Network.NORMS)
  for (const place of Network.PLACES)
    for (const activation of ["tanh", "gelu", "sigmoid"])
      test(`gradients are finite differences: ${norm} ${place} ${activation}`, () => {
        const { model, x, y } = example({ norm, place, activation, rate: 1e-5, optimizer: "sgd", groups: 1 });
        const start = model.state(), width = 1e-5;
        model.step(x, y);
        const gradients = Object.fromEntries(Object.entries(model.gradients).map(([k, v]) => [k, Array.from(v)]));
        for (const [name, slopes] of Object.entries(gradients))
          for (const [i, slope] of slopes.entries()) {
            const [up, down] = [width, -width].map((change) => {
              model.load(start);
              model.parameters[name][i] += change;
              return model.evaluate(x, y, true).loss;
            });
            const found = (up - down) / (2 * width);
            assert.ok(Math.abs(found - slope) < 1e-7, `${name}[${i}]: ${slope}, by differences ${found}`);
          }
      });

test("first weights are drawn as nn.Linear draws, and shared where the shapes agree", () => {
  const plain = Network.create({ widths: [64, 32] }, 7).parameters;
  const bn = Network.create({ widths: [64, 32], norm: "batch", place: "after" }, 7).parameters;
  const large = Network.create({ widths: [64, 32], scale: 10 }, 7).parameters;
  for (const [name, values] of Object.entries(plain)) {
    assert.deepEqual(bn[name], values, name);
    const factor = name.endsWith("weight") ? 10 : 1;
    assert.deepEqual(large[name], values.map((v) => v * factor), `${name}, scaled`);
  }
  const weight = plain["hidden.1.linear.weight"], bound = 1 / 8;
  const mean = weight.reduce((a, b) => a + b) / weight.length, square = weight.reduce((a, b) => a + b * b, 0) / weight.length;
  assert.ok(Math.max(...weight) < bound && Math.min(...weight) > -bound && Math.max(...weight) > 0.99 * bound);
  assert.ok(Math.abs(mean) < 0.006 && Math.abs(square / (bound ** 2 / 3) - 1) < 0.06);
  assert.notDeepEqual(Network.create({ widths: [64, 32] }, 8).parameters, plain);
  const deep = Network.create({ depth: 3, width: 8 }, 7).parameters, deeper = Network.create({ depth: 5, width: 8 }, 7).parameters;
  for (const [name, values] of Object.entries(deep)) assert.deepEqual(deeper[name], values, name);
});

test("a state that is saved and loaded goes on as if nothing had happened", () => {
  for (const optimizer of Network.OPTIMIZERS) {
    const { model, x, y } = example({ norm: "batch", optimizer });
    for (let i = 0; i < 3; i++) model.step(x, y);
    const other = example({ norm: "batch", optimizer }).model;
    other.load(JSON.parse(JSON.stringify(model.state())));
    assert.equal(other.step(x, y), model.step(x, y));
    assert.deepEqual(other.state(), model.state());
  }
});

test("dropout: zeros at the probability, the rest grows, and none in evaluation", () => {
  const { model, x, y } = example({ dropout: 0.5, widths: [64], rate: 1e-5 });
  const before = model.forward(x, false);
  let losses = new Set();
  for (let i = 0; i < 5; i++) losses.add(model.step(x, y));
  assert.equal(losses.size, 5);
  assert.ok(before.every((v, i) => Math.abs(v - model.forward(x, false)[i]) < 1e-3));
  const mean = Array.from({ length: 2000 }, () => model.step(x, y)).reduce((a, b) => a + b) / 2000;
  assert.ok(Math.abs(mean - model.evaluate(x, y, false).loss) < 0.05);
});

test("evaluation in training: batches of their own size, the last takes the rest", () => {
  const { model, x, y } = example({ norm: "batch" }, 7);
  const batch = (from, to) => model.evaluate(x.slice(2 * from, 2 * to), y.slice(from, to), true).loss;
  const by3 = model.evaluate(x, y, true, 3).loss;
  assert.ok(Math.abs(by3 - (3 * batch(0, 3) + 4 * batch(3, 7)) / 7) < 1e-12);
  const large = Data.make({ samples: 1000 }).test, all = model.evaluate(large.x, large.y, false);
  const logits = model.forward(large.x, false);
  assert.equal(all.accuracy, logits.filter((z, i) => z > 0 === large.y[i] > 0.5).length / 500);
});

test("the field is the network on a grid from the top left", () => {
  const { model, x, y } = example({ norm: "batch" });
  for (let i = 0; i < 20; i++) model.step(x, y);
  const grid = 13, field = new Float32Array(grid * grid);
  model.field(grid, false, field);
  const centres = f64({ length: 2 * grid * grid }, (_, i) => {
    const cell = i >> 1, [row, column] = [Math.floor(cell / grid), cell % grid];
    return i % 2 ? 1.5 - (row + 0.5) * 3 / grid : -1.5 + (column + 0.5) * 3 / grid;
  });
  model.forward(centres, false).forEach((z, i) => assert.ok(Math.abs(field[i] - 1 / (1 + Math.exp(-z))) < 1e-6));
  const running = field.slice();
  model.field(grid, true, field);
  assert.ok(field.some((p, i) => Math.abs(p - running[i]) > 1e-4));
});

test("with the batch's own statistics the field passes through the batch's outputs", () => {
  const { model, x, y } = example({ norm: "batch" }, 16);
  for (let i = 0; i < 20; i++) model.step(x, y);
  model.look(x);
  const trained = model.forward(x, true), field = new Float32Array(1);
  for (let i = 0; i < 16; i++) {
    const reach = 1e-9; // a grid of one cell around a point that is moved to the middle
    const moved = x.slice();
    for (let j = 0; j < 16; j++) {
      moved[2 * j] -= x[2 * i];
      moved[2 * j + 1] -= x[2 * i + 1];
    }
    // A shift of all inputs is undone by the first normalization, whose statistics move along.
    model.look(moved);
    model.field(1, true, field, reach);
    assert.ok(Math.abs(field[0] - 1 / (1 + Math.exp(-trained[i]))) < 1e-5);
  }
});

test("layers show the last batch", () => {
  for (const norm of Network.NORMS) {
    const { model, x, y } = example({ norm });
    model.step(x, y);
    const layers = model.layers();
    assert.deepEqual(layers.map(({ width, count }) => [width, count]), [[5, 6], [3, 6]]);
    for (const layer of layers) {
      assert.equal(layer.activations.length, 6 * layer.width);
      assert.ok(layer.gradientNorm > 0 && layer.weightNorm > 0);
      assert.equal(layer.runningMean === null, norm !== "batch");
      if (norm === "batch") // after one step from 0 and 1, a tenth of the way
        for (let c = 0; c < layer.width; c++) {
          assert.ok(Math.abs(layer.runningMean[c] - 0.1 * layer.batchMean[c]) < 1e-12);
          assert.ok(Math.abs(layer.runningVar[c] - 0.9 - 0.1 * layer.batchVar[c] * 6 / 5) < 1e-12);
        }
    }
  }
});

test("nothing is allocated from step to step", () => {
  const { model, x, y } = example({ norm: "batch", dropout: 0.1, optimizer: "adam", widths: [64, 32] }, 16);
  for (let i = 0; i < 200; i++) model.step(x, y);
  const before = process.memoryUsage().arrayBuffers;
  for (let i = 0; i < 200; i++) model.step(x, y);
  assert.ok(process.memoryUsage().arrayBuffers - before < 1000);
});

test("errors name the value and what to do", () => {
  const wrong = [
    [{ norm: "instance" }, /norm is instance: choose one of none, batch/],
    [{ place: "between" }, /place is between/],
    [{ activation: "relu6" }, /activation is relu6/],
    [{ optimizer: "lamb" }, /optimizer is lamb/],
    [{ depth: 9 }, /depth is 9: choose a whole number from 1 to 8/],
    [{ depth: 1.5 }, /depth is 1.5/],
    [{ width: 65 }, /width is 65: choose a whole number from 2 to 64/],
    [{ widths: [4, 1] }, /width is 1/],
    [{ widths: [] }, /depth is 0/],
    [{ rate: 0 }, /rate is 0/],
    [{ rate: NaN }, /rate is NaN/],
    [{ rate: "0.1" }, /rate is 0.1: choose a number/],
    [{ batchSize: 1 }, /batchSize is 1: choose a whole number from 2 to 256/],
    [{ dropout: 1 }, /dropout is 1/],
    [{ weightDecay: -1 }, /weightDecay is -1/],
    [{ momentum: 2 }, /momentum is 2/],
    [{ eps: 0 }, /eps is 0/],
    [{ scale: 1000 }, /scale is 1000/],
    [{ norm: "group", groups: 3, width: 16 }, /groups is 3 and does not divide the width 16/],
  ];
  for (const [settings, message] of wrong) assert.throws(() => Network.create(settings), { name: "RangeError", message });
  assert.throws(() => Network.create({}, -1), { name: "RangeError", message: /seed is -1/ });
  const { model, x, y } = example({ norm: "batch" });
  assert.throws(() => model.step(x.slice(0, 2), y.slice(0, 1)), { name: "RangeError", message: /a batch of 1 has no variance/ });
  assert.throws(() => model.load({ weight: [1] }), { name: "RangeError", message: /weight is unknown/ });
  assert.throws(() => model.load({ "output.bias": [1, 2] }), { name: "RangeError", message: /has 2 numbers: give 1/ });
});

test("groups without a number: the most up to four that leave four units each", () => {
  const { model } = example({ norm: "group", widths: [64, 12, 7, 2] });
  assert.equal(model.settings.groups, undefined);
  const explicit = [4, 3, 1, 1];
  const x = f64([0.3, -0.7]);
  for (const [k, groups] of explicit.entries()) {
    const widths = [[64], [12], [7], [2]][k];
    const own = Network.create({ norm: "group", widths }, 1), given = Network.create({ norm: "group", widths, groups }, 1);
    assert.deepEqual(own.forward(x, false), given.forward(x, false));
  }
});

test("numbers that overflow are said, not hidden", () => {
  const { model, x, y } = example({ activation: "relu", rate: 100, scale: 100 });
  assert.ok(model.finite());
  for (let i = 0; i < 2000 && model.finite(); i++) model.step(x, y);
  model.parameters["output.bias"][0] = NaN;
  assert.ok(!model.finite());
  assert.ok(Number.isNaN(model.evaluate(x, y, false).loss));
});
