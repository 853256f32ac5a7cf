// Five stories of the book as experiments. The settings were found with seeds from 100 on; that each
// sentence of `watch` holds for at least 19 of the seeds 0 to 19, tests/laboratory/presets.test.js says.

/**
 * @typedef {object} Preset
 * @property {string} key
 * @property {string} title
 * @property {string} watch what to see, and how far it reaches
 * @property {string} chapter a page of the book
 * @property {{shared: Shared, left: Settings, right: Settings, mode: "train" | "eval"}} settings
 * @property {number} steps after which there is to see what `watch` says
 */

/** @type {Preset[]} */
const PRESETS = [
  {
    key: "eval-gap",
    title: "Eval gap after four steps",
    watch:
      "Both networks have the same weights. After four steps they get at least 90 % of the test points right with the " +
      "statistics of their batches. In eval mode the left one, with momentum 0.1, gets at most 60 %: its running " +
      "statistics lag. With momentum 1 the right one gets at least 85 %. After 40 steps the left has caught up.",
    chapter: "chapters/02-the-mathematics.html",
    settings: {
      shared: { data: "circles" },
      left: { norm: "batch", depth: 2, width: 32, batchSize: 128, optimizer: "adam", rate: 0.05, momentum: 0.1 },
      right: { norm: "batch", depth: 2, width: 32, batchSize: 128, optimizer: "adam", rate: 0.05, momentum: 1 },
      mode: "eval",
    },
    steps: 4,
  },
  {
    key: "one-survives",
    title: "A learning rate that only one survives",
    watch:
      "At rate 3 the network with BN gets at least 97 % of the test points right after 200 steps. The plain one stays at " +
      "a guess. At rate 0.3 it would do as well, and at rate 9 both fail.",
    chapter: "chapters/07-initialization-and-learning-rate.html",
    settings: {
      shared: { data: "circles" },
      left: { norm: "none", depth: 4, width: 32, batchSize: 32, rate: 3 },
      right: { norm: "batch", depth: 4, width: 32, batchSize: 32, rate: 3 },
      mode: "eval",
    },
    steps: 200,
  },
  {
    key: "batches-of-two",
    title: "Batches of two",
    watch:
      "In a batch of two, BN sees only which of the two values is larger. After 600 steps it gets at most 70 % of the " +
      "test points right, at this rate and at any from 0.01 to 0.3. LN needs no batch and gets at least 95 %.",
    chapter: "chapters/10-normalization-family.html",
    settings: {
      shared: { data: "circles" },
      left: { norm: "layer", depth: 2, width: 16, batchSize: 2, rate: 0.03 },
      right: { norm: "batch", depth: 2, width: 16, batchSize: 2, rate: 0.03 },
      mode: "eval",
    },
    steps: 600,
  },
  {
    key: "ten-times",
    title: "Weights ten times too large",
    watch:
      "All first weights are ten times as large as they should be. The plain network starts with a loss above 5 and, at " +
      "this rate, ends at a guess. With BN it starts below 3 and gets at least 97 % of the test points right after 200 steps.",
    chapter: "chapters/07-initialization-and-learning-rate.html",
    settings: {
      shared: { data: "circles" },
      left: { norm: "none", depth: 4, width: 32, batchSize: 64, rate: 0.1, scale: 10 },
      right: { norm: "batch", depth: 4, width: 32, batchSize: 64, rate: 0.1, scale: 10 },
      mode: "eval",
    },
    steps: 200,
  },
  {
    key: "plain-wins",
    title: "Where plain wins",
    watch:
      "In batches of 8 both get at least 97 % of the test points right, each at a good rate of its own. But BN is less sure: " +
      "after 400 steps its loss is more than four times that of the plain network, at any rate from 0.03 to 1. In " +
      "batches of 64 the two are level.",
    chapter: "chapters/05-first-experiments.html",
    settings: {
      shared: { data: "circles" },
      left: { norm: "none", depth: 2, width: 32, batchSize: 8, rate: 1 },
      right: { norm: "batch", depth: 2, width: 32, batchSize: 8, rate: 0.3 },
      mode: "eval",
    },
    steps: 400,
  },
];
