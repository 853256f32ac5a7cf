// Random numbers and the points of the laboratory. One factory without outer references, so that
// a worker can be made of its source.

/**
 * @typedef {{x: Float64Array, y: Float64Array}} Half points [n, 2] row by row, and their labels 0 or 1
 * @typedef {{train: Half, test: Half}} Split
 * @typedef {object} DataSettings
 * @property {string} [data] circles, moons, spirals, rgb or drawn
 * @property {number} [samples] in both halves together; drawn points bring their own number
 * @property {number} [noise] standard deviation of what is added to each coordinate
 * @property {number} [seed] of the points, and in the runner of weights, batches and dropout too
 * @property {number[][]} [points] what the reader has drawn: [x, y, label], at least two of each label
 */

function makeData() {
  "use strict";

  /** @type {Record<string, (class1: boolean, uniform: () => number) => number[]>} */
  const SETS = {
    // The book's circles, but for angles at random: the inner one, class 1, has radius 0.4.
    circles(inner, uniform) {
      const angle = 2 * Math.PI * uniform(), radius = inner ? 0.4 : 1;
      return [radius * Math.cos(angle), radius * Math.sin(angle)];
    },
    moons(lower, uniform) {
      const angle = Math.PI * uniform(), sign = lower ? -1 : 1;
      return [0.8 * (sign * Math.cos(angle) + (lower ? 0.5 : -0.5)),
        0.8 * (sign * Math.sin(angle) + (lower ? 0.25 : -0.25))];
    },
    spirals(second, uniform) {
      const along = Math.sqrt(uniform()); // even along the arm, which is longer outside
      const angle = 3 * Math.PI * along + (second ? Math.PI : 0), radius = 0.1 + 1.1 * along;
      return [radius * Math.cos(angle), radius * Math.sin(angle)];
    },
    // Chapter 5 learns r^2 + 2 g^2 + 3 b^2. Here are two colours, and class 1 is where
    // r^2 + 2 g^2 is large: outside of an ellipse that holds half of the square.
    rgb(outside, uniform) {
      for (;;) {
        const r = 2 * uniform() - 1, g = 2 * uniform() - 1;
        if (r * r + 2 * g * g > 2 * Math.SQRT2 / Math.PI === outside) return [r, g];
      }
    },
  };
  const NAMES = [...Object.keys(SETS), "drawn"];
  const LIMITS = { samples: [20, 2000], noise: [0, 0.5], seed: [0, 2 ** 32 - 1] };
  const DEFAULTS = { data: "circles", samples: 400, noise: 0.1, seed: 0 };

  /** Return a generator of numbers in (0, 1): mulberry32, as in chapters/figures/interactive.py. */
  function mulberry32(/** @type {number} */ seed) {
    return () => {
      seed = (seed + 0x6d2b79f5) | 0;
      let t = Math.imul(seed ^ (seed >>> 15), seed | 1);
      t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
      return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 2 ** 32;
    };
  }

  /** Return a generator for one purpose: those of a seed do not overlap. */
  function stream(/** @type {number} */ seed, /** @type {number} */ purpose) {
    return mulberry32((seed + Math.imul(purpose + 1, 0x9e3779b9)) | 0);
  }

  /** Return a generator of standard normal numbers (Box and Muller), as in interactive.py. */
  function normal(/** @type {() => number} */ uniform) {
    return () => {
      const radius = Math.sqrt(-2 * Math.log(uniform()));
      return radius * Math.cos(2 * Math.PI * uniform());
    };
  }

  /** @param {string} name @param {unknown} value @param {number[]} limits @param {boolean} [whole] */
  function inRange(name, value, [low, high], whole = false) {
    const fits = typeof value === "number" && value >= low && value <= high;
    const kind = whole ? "a whole number" : "a number";
    if (!fits || (whole && !Number.isInteger(value)))
      throw new RangeError(`${name} is ${value}: choose ${kind} from ${low} to ${high}`);
  }

  /** Return the settings with defaults for what is missing. @param {DataSettings} settings */
  function check(settings) {
    const all = { ...DEFAULTS, ...settings };
    if (!NAMES.includes(all.data))
      throw new RangeError(`data is ${all.data}: choose one of ${NAMES.join(", ")}`);
    inRange("samples", all.samples, LIMITS.samples, true);
    inRange("noise", all.noise, LIMITS.noise);
    inRange("seed", all.seed, LIMITS.seed, true);
    if (all.data === "drawn") {
      const points = all.points ?? [];
      for (const [x, y, label] of points)
        if (!(Math.abs(x) <= 1.5 && Math.abs(y) <= 1.5 && (label === 0 || label === 1)))
          throw new RangeError(
            `the point ${x}, ${y}, ${label} is out of range: x and y reach from -1.5 to 1.5, and a label is 0 or 1`,
          );
      for (const wanted of [0, 1])
        if (points.filter(([, , label]) => label === wanted).length < 2)
          throw new RangeError(`too few points with label ${wanted}: draw at least two of each label`);
    }
    return all;
  }

  /** Return points for training and as many others for tests. @param {DataSettings} settings @returns {Split} */
  function make(settings) {
    const { data, samples, noise, seed, points } = check(settings);
    /** @type {number[][][]} */
    const halves = [[], []];
    if (data === "drawn") {
      for (const label of [0, 1]) // every other point of each label is for tests
        (points ?? []).filter((point) => point[2] === label).forEach((point, i) => halves[i % 2].push(point));
    } else {
      const uniform = stream(seed, 0), draw = normal(uniform);
      for (let i = 0; i < samples; i++) {
        const [x, y] = SETS[data](i % 2 === 1, uniform);
        halves[i < samples / 2 ? 0 : 1].push([x + noise * draw(), y + noise * draw(), i % 2]);
      }
    }
    const [train, test] = halves.map((half) => ({
      x: Float64Array.from(half.flatMap(([x, y]) => [x, y])),
      y: Float64Array.from(half, (point) => point[2]),
    }));
    return { train, test };
  }

  return { NAMES, LIMITS, DEFAULTS, mulberry32, stream, normal, inRange, check, make };
}

const Data = makeData();
