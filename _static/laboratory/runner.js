// Two networks that train on the same data, on the page or in workers. One factory without outer
// references; `Runner.connect` stands outside of it, for it makes the workers from the factories' source.

/**
 * @typedef {DataSettings & {steps?: number}} Shared
 * @typedef {"left" | "right"} Side
 * @typedef {{low: number, high: number, counts: Float32Array, below: number, above: number}} Histogram in shares
 * @typedef {object} LayerView
 * @property {Histogram} histogram of what the layer passes on for the last batch
 * @property {Float32Array} batchMean of each unit where the norm stands, or would stand, in the last batch
 * @property {Float32Array} batchDeviation
 * @property {Float32Array | null} runningMean null unless the norm is batch
 * @property {Float32Array | null} runningDeviation
 * @property {number} gradientNorm of the linear layer's weights
 * @property {number} weightNorm
 * @typedef {{train: number, eval: number}} TwoModes with the statistics of batches, and with the running ones
 * @typedef {object} SideView
 * @property {TwoModes} loss of the test half
 * @property {TwoModes} accuracy of the test half
 * @property {number | null} batchLoss of the last training batch, null before the first step
 * @property {Float32Array} field probability of class 1 on the grid, from the top left row by row
 * @property {LayerView[]} layers
 * @property {number | null} diverged the step whose loss or weights were no longer finite
 */

/**
 * @param {ReturnType<typeof makeData>} Data
 * @param {ReturnType<typeof makeNetwork>} Network
 */
function makeRunner(Data, Network) {
  "use strict";

  const BINS = 32, REACH = 4; // of the histograms
  const GRID = 40;
  const BY_SIDE = ["loss", "accuracy", "batchLoss", "fields", "layers", "diverged"]; // of a snapshot

  /**
   * The batches of an endless training: every epoch in a new order, the last incomplete batch dropped.
   * @param {Half} half @param {number} size @param {number} seed
   */
  function batches({ x, y }, size, seed) {
    const count = y.length, n = Math.min(size, count);
    const order = Uint16Array.from(y, (_, i) => i), uniform = Data.stream(seed, 1);
    const batch = { x: new Float64Array(2 * n), y: new Float64Array(n) };
    let at = count;
    return () => {
      if (at + n > count) {
        at = 0;
        for (let i = count - 1; i > 0; i--) { // Fisher and Yates
          const j = Math.floor(uniform() * (i + 1)), kept = order[i];
          order[i] = order[j];
          order[j] = kept;
        }
      }
      for (let i = 0; i < n; i++, at++) {
        batch.x[2 * i] = x[2 * order[at]];
        batch.x[2 * i + 1] = x[2 * order[at] + 1];
        batch.y[i] = y[order[at]];
      }
      return batch;
    };
  }

  /** @param {Float64Array} values @returns {Histogram} */
  function histogram(values) {
    const counts = new Float32Array(BINS), share = 1 / values.length;
    let below = 0, above = 0;
    for (let i = 0; i < values.length; i++) {
      const bin = Math.floor((values[i] + REACH) * BINS / (2 * REACH));
      if (bin < 0) below += share;
      else if (bin >= BINS) above += share;
      else counts[bin] += share; // not a number: nowhere
    }
    return { low: -REACH, high: REACH, counts, below, above };
  }

  /** Return one side of the laboratory. @param {Shared} shared @param {Settings} settings */
  function trainee(shared, settings) {
    const seed = shared.seed ?? 0, split = Data.make(shared), { test } = split;
    const model = Network.create(settings, seed), { batchSize } = model.settings;
    const next = batches(split.train, batchSize, seed);
    let steps = 0, diverged = /** @type {number | null} */ (null), batchLoss = /** @type {number | null} */ (null);
    // Before the first step, the layers show the first batch: those of an equal generator.
    model.look(batches(split.train, batchSize, seed)().x);

    function advance(/** @type {number} */ count) {
      for (let i = 0; i < count; i++) {
        steps++;
        if (diverged !== null) continue;
        const batch = next();
        batchLoss = model.step(batch.x, batch.y);
        if (!model.finite()) diverged = steps;
      }
    }

    /** @param {number} grid @param {"train" | "eval"} mode @returns {SideView} */
    function view(grid, mode) {
      const { loss, accuracy } = evaluate(), field = new Float32Array(grid * grid);
      model.field(grid, mode === "train", field);
      const deviation = (/** @type {number} */ v) => Math.sqrt(v);
      const layers = model.layers().map((layer) => ({
        histogram: histogram(layer.activations),
        batchMean: Float32Array.from(layer.batchMean),
        batchDeviation: Float32Array.from(layer.batchVar, deviation),
        runningMean: layer.runningMean && Float32Array.from(layer.runningMean),
        runningDeviation: layer.runningVar && Float32Array.from(layer.runningVar, deviation),
        gradientNorm: layer.gradientNorm,
        weightNorm: layer.weightNorm,
      }));
      return { loss, accuracy, batchLoss, field, layers, diverged };
    }

    /** Return loss and accuracy of the test half in both modes. */
    function evaluate() {
      const { x, y } = test, running = model.evaluate(x, y, false);
      const own = model.settings.norm === "batch" ? model.evaluate(x, y, true, Math.min(batchSize, y.length)) : running;
      return {
        loss: { train: own.loss, eval: running.loss },
        accuracy: { train: own.accuracy, eval: running.accuracy },
      };
    }

    return {
      advance, view, evaluate, split, model,
      get steps() {
        return steps;
      },
      get diverged() {
        return diverged;
      },
    };
  }

  /**
   * Train one or two sides on the same data: the same seed gives them the same points, first weights and batches.
   * @param {Shared} shared
   * @param {Settings | null} left null: this side is trained elsewhere
   * @param {Settings | null} right
   */
  function create(shared, left, right) {
    /** @type {Partial<Record<Side, ReturnType<typeof trainee>>>} */
    const sides = {};
    if (left) sides.left = trainee(shared, left);
    if (right) sides.right = trainee(shared, right);
    const one = sides.left ?? sides.right;
    if (!one) throw new RangeError("no side has settings: give those of left, right or both");
    return {
      sides,
      data: one.split,
      advance(/** @type {number} */ steps) {
        sides.left?.advance(steps);
        sides.right?.advance(steps);
      },
      /** Everything that a page shows, without a reference to what goes on training. */
      snapshot({ grid = GRID, mode = /** @type {"train" | "eval"} */ ("eval") } = {}) {
        return merge(one.steps, grid, mode, sides.left?.view(grid, mode), sides.right?.view(grid, mode));
      },
    };
  }

  /**
   * @param {number} steps @param {number} grid @param {"train" | "eval"} mode
   * @param {SideView} [left] @param {SideView} [right]
   */
  function merge(steps, grid, mode, left, right) {
    /** @template {keyof SideView} K @param {K} name */
    const both = (name) => {
      /** @type {Partial<Record<Side, SideView[K]>>} */
      const pair = {};
      if (left) pair.left = left[name];
      if (right) pair.right = right[name];
      return pair;
    };
    return {
      type: /** @type {const} */ ("snapshot"), steps, grid, mode,
      loss: both("loss"), accuracy: both("accuracy"), batchLoss: both("batchLoss"), fields: both("field"),
      layers: both("layers"), diverged: both("diverged"),
    };
  }

  /**
   * Return what answers the orders of `connect`, in a worker or on the page: an order with `shared`, `left`
   * and `right` makes the sides, and each trains them for `steps` and returns a snapshot and its milliseconds.
   */
  function server() {
    /** @type {ReturnType<typeof create> | undefined} */
    let session;
    return (/** @type {any} */ order) => {
      try {
        const start = performance.now();
        if (order.shared) session = create(order.shared, order.left, order.right);
        if (!session) throw new RangeError("no side has settings: start first");
        session.advance(order.steps);
        const trained = performance.now() - start, snapshot = session.snapshot(order);
        return { ...snapshot, trained, drawn: performance.now() - start - trained };
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        return { type: /** @type {const} */ ("error"), message };
      }
    };
  }

  return { GRID, BY_SIDE, create, server };
}

const Runner = Object.assign(makeRunner(Data, Network), {
  /**
   * Return what looks like a worker that trains both sides: it has `postMessage`, `onmessage` and `terminate`.
   * It takes {type: "start", shared, left, right, mode, grid} and {type: "step", steps, mode, grid}, and answers
   * each with {type: "snapshot", ...}, or {type: "error", message}. A snapshot says how many steps were `asked`
   * for and how many milliseconds the slower side `trained` them and had `drawn` the rest: by these, who asks
   * once in a frame knows what fits into it. A start drops the answers that are still to come.
   *
   * Behind it stand two workers, one for each side. Where none can be had, the page trains.
   * @param {{workers?: boolean}} [options] workers false: train on the page
   */
  connect({ workers = true } = {}) {
    /** @typedef {(order: any, done: (answer: any) => void) => void} Ask */
    /** @type {Worker[]} */
    const made = [];

    /** @returns {Ask} */
    function onPage() {
      const answer = Runner.server();
      return (order, done) => void setTimeout(() => done(answer(order))); // never inside of postMessage
    }

    /** @param {string} address @returns {Ask} */
    function inWorker(address) {
      const worker = new Worker(address);
      made.push(worker);
      /** @type {(answer: any) => void} */
      let receive;
      /** @type {Ask} */
      let send = (order, done) => {
        receive = done;
        worker.onerror = () => { // no worker may be made here: the page trains instead
          send = onPage();
          send(order, done);
        };
        worker.postMessage(order);
      };
      worker.onmessage = ({ data }) => receive(data);
      return (order, done) => send(order, done);
    }

    /** @type {Ask[]} */
    let sides;
    try {
      if (!workers) throw new Error("the page shall train");
      const source = `"use strict"; ${makeData} ${makeNetwork} ${makeRunner}
        const data = makeData(), answer = makeRunner(data, makeNetwork(data)).server();
        onmessage = ({ data: order }) => {
          const reply = answer(order);
          postMessage(reply, Object.values(reply.fields ?? {}).map((field) => field.buffer));
        };`;
      const address = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
      sides = [inWorker(address), inWorker(address)];
    } catch {
      sides = [onPage(), onPage()];
    }

    /** @type {any[]} */
    let queue = [];
    let busy = false, closed = false, starts = 0;

    /** Send the next order to both sides, if they are free. */
    function next() {
      const order = busy ? undefined : queue.shift();
      if (!order) return;
      busy = true;
      const start = starts;
      /** @type {any[]} */
      const answers = [];
      sides.forEach((ask, i) => {
        ask(order.shared ? { ...order, [i ? "left" : "right"]: null } : order, (answer) => {
          answers[i] = answer;
          if (!answers[0] || !answers[1]) return;
          busy = false;
          if (!closed && start === starts) link.onmessage?.({ data: join(order, answers) });
          next();
        });
      });
    }

    /** @param {any} order @param {any[]} answers */
    function join({ steps }, [left, right]) {
      if (left.type === "error") return left;
      if (right.type === "error") return right;
      const all = { ...left, asked: steps };
      for (const key of ["trained", "drawn"]) all[key] = Math.max(left[key], right[key]);
      for (const key of Runner.BY_SIDE) all[key] = { ...left[key], ...right[key] };
      return all;
    }

    const link = {
      /** @type {((event: {data: any}) => void) | null} */
      onmessage: null,
      /** @param {any} message */
      postMessage({ type, shared, left, right, steps, mode, grid }) {
        if (type === "start") {
          starts++;
          queue = [{ steps: 0, mode, grid, shared, left, right }];
        } else if (type !== "step") throw new RangeError(`type is ${type}: send start or step`);
        else if (!starts) throw new RangeError("step came first: send start before it");
        else queue.push({ steps: steps ?? 1, mode, grid });
        next();
      },
      terminate() {
        closed = true;
        for (const worker of made) worker.terminate();
      },
    };
    return link;
  },
});
