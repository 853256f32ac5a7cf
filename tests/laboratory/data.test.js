import assert from "node:assert/strict";
import test from "node:test";
import { ENGINE, load } from "./load.js";

const { Data } = load(ENGINE);
const SETS = Data.NAMES.filter((name) => name !== "drawn");

test("mulberry32 makes the published numbers, as interactive.py does", () => {
  const uniform = Data.mulberry32(0);
  const first = Array.from({ length: 3 }, () => Math.floor(uniform() * 2 ** 32));
  assert.deepEqual(first, [1144304738, 1416247, 958946056]);
});

test("normal numbers have mean 0 and variance 1", () => {
  const draw = Data.normal(Data.mulberry32(5)), n = 20000;
  const numbers = Array.from({ length: n }, draw);
  const mean = numbers.reduce((a, b) => a + b) / n, square = numbers.reduce((a, b) => a + b * b, 0) / n;
  assert.ok(Math.abs(mean) < 0.03 && Math.abs(square - 1) < 0.04);
});

test("streams of one seed differ, and so do those of neighbours", () => {
  const firsts = [0, 1, 2].flatMap((seed) => [0, 1, 98, 99, 100].map((purpose) => Data.stream(seed, purpose)()));
  assert.equal(new Set(firsts).size, firsts.length);
});

for (const data of SETS)
  test(`${data}: two halves, as many points of each label, in the square, other for another seed`, () => {
    const { train, test: other } = Data.make({ data, samples: 400 });
    for (const { x, y } of [train, other]) {
      assert.equal(x.length, 400);
      assert.equal(y.length, 200);
      assert.equal(y.reduce((a, b) => a + b), 100);
      assert.ok(x.every((v) => Math.abs(v) < 1.5));
    }
    assert.deepEqual(Data.make({ data, samples: 400 }).train, train);
    assert.notDeepEqual(Data.make({ data, samples: 400, seed: 1 }).train, train);
    assert.notDeepEqual(train.x, other.x);
  });

test("without noise the points lie where their label says", () => {
  const points = (data) => {
    const { x, y } = Data.make({ data, samples: 1000, noise: 0 }).train;
    return Array.from(y, (label, i) => [x[2 * i], x[2 * i + 1], label]);
  };
  for (const [a, b, label] of points("circles")) assert.ok(Math.abs(Math.hypot(a, b) - (label ? 0.4 : 1)) < 1e-12);
  for (const [r, g, label] of points("rgb")) {
    assert.equal(r * r + 2 * g * g > 2 * Math.SQRT2 / Math.PI, label === 1);
    assert.ok(Math.max(Math.abs(r), Math.abs(g)) < 1);
  }
  for (const [a, b, label] of points("moons")) // each on half a circle of radius 0.8
    assert.ok(Math.abs(Math.hypot(a - (label ? 0.4 : -0.4), b - (label ? 0.2 : -0.2)) - 0.8) < 1e-12 && (label ? b <= 0.2 : b >= -0.2));
  for (const [a, b, label] of points("spirals")) {
    const along = (Math.hypot(a, b) - 0.1) / 1.1, angle = 3 * Math.PI * along + label * Math.PI;
    assert.ok(Math.abs(Math.cos(angle) - a / Math.hypot(a, b)) < 1e-9);
  }
});

test("drawn points: every other one of each label is for tests", () => {
  const points = [[0, 0, 0], [1, 1, 1], [0.1, 0, 0], [1, 0.9, 1], [0.2, 0, 0]];
  const { train, test: other } = Data.make({ data: "drawn", points });
  assert.deepEqual([Array.from(train.x), Array.from(train.y)], [[0, 0, 0.2, 0, 1, 1], [0, 0, 1]]);
  assert.deepEqual([Array.from(other.x), Array.from(other.y)], [[0.1, 0, 1, 0.9], [0, 1]]);
});

test("errors name the value and what to do", () => {
  const wrong = [
    [{ data: "blobs" }, /data is blobs: choose one of circles, moons/],
    [{ samples: 10 }, /samples is 10: choose a whole number from 20 to 2000/],
    [{ noise: 1 }, /noise is 1: choose a number from 0 to 0.5/],
    [{ seed: 0.5 }, /seed is 0.5/],
    [{ seed: 2 ** 32 }, /seed is 4294967296/],
    [{ data: "drawn" }, /too few points with label 0: draw at least two/],
    [{ data: "drawn", points: [[0, 0, 0], [0, 1, 0], [1, 1, 1]] }, /too few points with label 1/],
    [{ data: "drawn", points: [[0, 2, 0]] }, /the point 0, 2, 0 is out of range/],
    [{ data: "drawn", points: [[0, 1, 2]] }, /a label is 0 or 1/],
  ];
  for (const [settings, message] of wrong) assert.throws(() => Data.make(settings), { name: "RangeError", message });
});
