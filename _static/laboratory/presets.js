"use strict";
// Provisional stories: tests/laboratory will say whether their sentences hold.

/** @type {{key: string, title: string, watch: string, chapter: string, steps: number, settings: any}[]} */
const PRESETS = [
  {
    key: "eval-gap",
    title: "Eval gap after four steps",
    watch: "After four steps the running statistics still remember where they started: with them the loss on the right is larger than with the statistics of the batch.",
    chapter: "chapters/05-first-experiments.html",
    steps: 4,
    settings: { shared: { data: "circles" }, left: { norm: "none", rate: 1 }, right: { norm: "batch", rate: 1 } },
  },
  {
    key: "one-survives",
    title: "A learning rate that only one survives",
    watch: "At this learning rate the network without a norm stops learning; the one with batch norm trains.",
    chapter: "chapters/07-initialization-and-learning-rate.html",
    steps: 400,
    settings: { shared: { data: "circles" }, left: { norm: "none", rate: 10, depth: 4 }, right: { norm: "batch", rate: 10, depth: 4 } },
  },
  {
    key: "batches-of-two",
    title: "Batches of two",
    watch: "In batches of two the network with batch norm sees only which of two values is larger.",
    chapter: "chapters/05-first-experiments.html",
    steps: 1000,
    settings: { shared: { data: "circles" }, left: { norm: "none", batchSize: 2 }, right: { norm: "batch", batchSize: 2 } },
  },
  {
    key: "weights-ten-times",
    title: "Weights ten times too large",
    watch: "First weights ten times too large spoil the network without a norm; batch norm divides the factor out.",
    chapter: "chapters/07-initialization-and-learning-rate.html",
    steps: 300,
    settings: { shared: { data: "circles" }, left: { norm: "none", scale: 10, depth: 4 }, right: { norm: "batch", scale: 10, depth: 4 } },
  },
  {
    key: "plain-wins",
    title: "Where plain wins",
    watch: "Each side has its best rate, and the network without a norm is ahead.",
    chapter: "chapters/05-first-experiments.html",
    steps: 600,
    settings: { shared: { data: "rgb", noise: 0 }, left: { norm: "none", optimizer: "adam", rate: 0.01 }, right: { norm: "batch", optimizer: "adam", rate: 0.01 } },
  },
];
