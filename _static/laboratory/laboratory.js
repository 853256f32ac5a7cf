"use strict";
/**
 * The page of the laboratory: two networks that train side by side, and what to set on them.
 *
 * `Laboratory.mount(element)` fills an element such as
 *
 *     <div class="normlab-laboratory" data-preset="eval-gap" data-size="small" data-base="../"></div>
 *
 * and every such element is filled when the page has loaded. The arithmetic is not here: network.js
 * has it, runner.js trains, in a worker where the browser has one. This file draws and listens.
 */
function makeLaboratory() {
  /**
   * @typedef {string | number} Value
   * @typedef {Record<string, any>} Settings of a side, or of both: see SIDE and SHARED
   * @typedef {{x: number, y: number, label: number}} Point
   * @typedef {{
   *   label: string, choices?: Record<string, string>, values?: number[], low?: number,
   *   high?: number, whole?: boolean, slider?: number[],
   * }} Option
   * @typedef {{shared: Settings, left: Settings, right: Settings, mode: string}} Experiment
   * @typedef {"left" | "right"} SideName
   */

  /** @type {SideName[]} */
  const SIDES = ["left", "right"];

  // --- what can be set ----------------------------------------------------------------------
  /** @type {Record<string, Option>} */
  const SIDE = {
    norm: {
      label: "Norm",
      choices: { none: "none", batch: "batch", layer: "layer", group: "group", rms: "RMS" },
    },
    activation: {
      label: "Activation",
      choices: { relu: "ReLU", tanh: "tanh", gelu: "GELU", sigmoid: "sigmoid" },
    },
    place: { label: "Norm stands", choices: { before: "before it", after: "after it" } },
    depth: { label: "Depth", whole: true, values: [1, 2, 3, 4, 5, 6, 7, 8] },
    width: { label: "Width", whole: true, values: [2, 4, 8, 16, 32, 64] },
    scale: { label: "Initial scale", values: [0.1, 0.3, 1, 3, 10] },
    optimizer: {
      label: "Optimizer",
      choices: { sgd: "SGD", momentum: "momentum", adam: "Adam" },
    },
    rate: { label: "Learning rate", slider: [1e-4, 10] },
    batchSize: { label: "Batch size", whole: true, values: [2, 4, 8, 16, 32, 64, 128, 256] },
    weightDecay: { label: "Weight decay", values: [0, 1e-4, 1e-3, 0.01, 0.1] },
    dropout: { label: "Dropout", values: [0, 0.1, 0.2, 0.5] },
    momentum: { label: "BN momentum", values: [0.01, 0.1, 0.5, 1] },
  };

  /** @type {Record<string, Option>} */
  const SHARED = {
    data: {
      label: "Data",
      choices: {
        circles: "circles", moons: "moons", spirals: "spirals", rgb: "RGB map", drawn: "drawn by you",
      },
    },
    samples: { label: "Samples", whole: true, values: [50, 100, 200, 500, 1000] },
    noise: { label: "Noise", values: [0, 0.05, 0.1, 0.2, 0.3, 0.5] },
    seed: { label: "Seed", whole: true },
  };
  for (const [options, limits] of [[SIDE, Network.LIMITS], [SHARED, Data.LIMITS]])
    for (const [name, option] of Object.entries(options))
      if (!option.choices) [option.low, option.high] = /** @type {Record<string, number[]>} */ (limits)[name];

  const MODES = { train: "train", eval: "eval" };
  const MAX_POINTS = 200;
  const REACH = 1.5; // the pictures show [-1.5, 1.5] in both directions

  // The colours of normlab.style.COLORS; a test compares them.
  /** @type {Record<string, string>} */
  const COLORS = {
    none: "#d55e00", batch: "#2c7fb8", layer: "#cc79a7", group: "#009e73", rms: "#a6761d",
  };
  /** @type {Record<string, string>} */
  const NAMES = {
    none: "no norm", batch: "batch norm", layer: "layer norm", group: "group norm", rms: "RMS norm",
  };

  // --- numbers as text ----------------------------------------------------------------------
  /** A minus sign as wide as the digits; three digits that count. @param {number} v */
  const text = (v) => {
    if (!Number.isFinite(v)) return "not finite";
    const size = Math.abs(v);
    const said = size === 0 ? "0"
      : size < 1e-3 || size >= 1e5 ? size.toExponential(1).replace("+", "").replace("e-", "e\u2212")
      : String(Number(size.toPrecision(3)));
    return (v < 0 && size ? "\u2212" : "") + said;
  };

  /** @param {number} v */
  const percent = (v) => `${(100 * v).toFixed(1)}\u00a0%`;

  // --- the address: settings as a readable line, and back -----------------------------------
  /**
   * Write an experiment as "data=circles&norm=none,batch&rate=0.1": a value for both sides, or two.
   * @param {Experiment} experiment
   */
  const write = ({ shared, left, right, mode }) => {
    const pairs = Object.keys(SHARED).map((name) => [name, String(shared[name])]);
    for (const name of Object.keys(SIDE)) {
      const same = left[name] === right[name];
      pairs.push([name, same ? String(left[name]) : `${left[name]},${right[name]}`]);
    }
    pairs.push(["mode", mode]);
    if (shared.data === "drawn" && shared.points.length)
      pairs.push(["points", shared.points.map(pack).join("")]);
    return pairs.map(([name, value]) => `${name}=${value}`).join("&");
  };

  /** A point in five characters: its label, then 0 to 300 hundredths each. @param {number[]} point */
  const pack = ([x, y, label]) =>
    label + [x, y].map((v) => hundredths(v).toString(36).padStart(2, "0")).join("");

  /** @param {number} v */
  const hundredths = (v) => Math.round(100 * (v + REACH));

  /**
   * Read what `write` wrote, or a part of it, over an experiment. What is wrong is left out, with a
   * sentence about it.
   * @param {string} line
   * @param {Experiment} base
   * @returns {{experiment: Experiment, complaints: string[]}}
   */
  const read = (line, base) => {
    const experiment = structuredClone(base);
    /** @type {string[]} */
    const complaints = [];
    for (const [name, said] of new URLSearchParams(line)) {
      const complain = (/** @type {string} */ what) =>
        complaints.push(`The address says ${name}=${said.slice(0, 40)}; ${what} It is left out.`);
      if (name === "preset") {
        continue;
      } else if (name === "mode") {
        if (said in MODES) experiment.mode = said;
        else complain(`mode must be ${either(Object.keys(MODES))}.`);
      } else if (name === "points") {
        const points = unpack(said);
        if (points) experiment.shared.points = points;
        else complain(`points must be at most ${MAX_POINTS} groups of five characters.`);
      } else if (Object.hasOwn(SHARED, name)) {
        const { value, problem } = check(SHARED[name], said);
        if (problem) complain(`${name} must be ${problem}.`);
        else experiment.shared[name] = value;
      } else if (Object.hasOwn(SIDE, name)) {
        const parts = said.split(",");
        const found = parts.map((part) => check(SIDE[name], part));
        const problem = found.find((f) => f.problem)?.problem;
        if (parts.length > 2) complain("at most two values, left and right, can be told apart.");
        else if (problem) complain(`${name} must be ${problem}.`);
        else {
          experiment.left[name] = found[0].value;
          experiment.right[name] = found[found.length - 1].value;
        }
      } else {
        complain("the laboratory has no such setting.");
      }
    }
    return { experiment, complaints };
  };

  /** @param {string[]} words */
  const either = (words) => `${words.slice(0, -1).join(", ")} or ${words[words.length - 1]}`;

  /**
   * @param {Option} option
   * @param {string} said
   * @returns {{value?: Value, problem?: string}}
   */
  const check = ({ choices, low = 0, high = 0, whole }, said) => {
    if (choices)
      return Object.hasOwn(choices, said) ? { value: said } : { problem: either(Object.keys(choices)) };
    const value = Number(said);
    const fine = said.trim() && value >= low && value <= high && (!whole || Number.isInteger(value));
    return fine ? { value } : { problem: `${whole ? "an integer" : "a number"} from ${low} to ${high}` };
  };

  /** @param {string} said @returns {number[][] | null} */
  const unpack = (said) => {
    if (!/^([01][0-9a-z]{4})*$/.test(said) || said.length > 5 * MAX_POINTS) return null;
    const points = (said.match(/.{5}/g) ?? []).map((part) => [
      parseInt(part.slice(1, 3), 36) / 100 - REACH,
      parseInt(part.slice(3), 36) / 100 - REACH,
      Number(part[0]),
    ]);
    return points.some(([x, y]) => x > REACH || y > REACH) ? null : points;
  };

  // --- pictures -----------------------------------------------------------------------------
  /**
   * @typedef {{ink: string, page: string, font: string}} Palette
   * @typedef {{
   *   histogram: ArrayLike<number>, low: number, high: number,
   *   batchMean: ArrayLike<number>, batchDeviation: ArrayLike<number>,
   *   runningMean: ArrayLike<number> | null, runningDeviation: ArrayLike<number> | null,
   *   gradient: number,
   * }} Layer
   * @typedef {{
   *   field: ArrayLike<number>, layers: Layer[], diverged: boolean,
   *   loss: {train: number, eval: number}, accuracy: {train: number, eval: number},
   * }} Side
   * @typedef {{steps: number, grid: number, left: Side, right: Side}} Snapshot
   */

  /** Fit the pixels of a canvas to its place on the page. @param {HTMLCanvasElement} canvas */
  const prepare = (canvas) => {
    const ratio = window.devicePixelRatio || 1;
    const width = canvas.clientWidth, height = canvas.clientHeight;
    const wide = Math.round(width * ratio), high = Math.round(height * ratio);
    if (canvas.width !== wide || canvas.height !== high) Object.assign(canvas, { width: wide, height: high });
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    return { context, width, height };
  };

  const pixels = document.createElement("canvas"); // a field before it is stretched

  /**
   * Draw P(class 1) as a shade, where it is 1/2 as a line, and the points: class 1 filled, 0 hollow.
   * @param {HTMLCanvasElement} canvas
   * @param {Side | null} side  null: the points alone
   * @param {number} n  of the grid
   * @param {Point[]} points
   * @param {string} color
   * @param {Palette} palette
   * @param {{x: number, y: number} | null} cross  where the keyboard would draw
   */
  const drawField = (canvas, side, n, points, color, palette, cross) => {
    const { context, width, height } = prepare(canvas);
    if (!width) return;
    const across = (/** @type {number} */ x) => ((x + REACH) / (2 * REACH)) * width;
    const down = (/** @type {number} */ y) => ((REACH - y) / (2 * REACH)) * height;
    if (side && !side.diverged) {
      shade(context, side.field, n, color, width, height);
      boundary(context, side.field, n, color, width, height);
    }
    const radius = Math.max(2.4, Math.min(3.4, width / 90));
    for (const label of [0, 1]) {
      context.beginPath();
      for (const point of points) {
        if (point.label !== label) continue;
        const x = across(point.x), y = down(point.y);
        context.moveTo(x + radius, y);
        context.arc(x, y, radius, 0, 2 * Math.PI);
      }
      context.fillStyle = label ? palette.ink : palette.page;
      context.strokeStyle = label ? palette.page : palette.ink;
      context.lineWidth = label ? 0.75 : 1.25;
      context.fill();
      context.stroke();
    }
    if (side?.diverged) note(context, "diverged", width / 2, height / 2, palette);
    if (cross) {
      context.strokeStyle = palette.ink;
      context.lineWidth = 2;
      context.beginPath();
      const x = across(cross.x), y = down(cross.y);
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        context.moveTo(x + 4 * dx, y + 4 * dy);
        context.lineTo(x + 12 * dx, y + 12 * dy);
      }
      context.stroke();
    }
  };

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {string} said
   * @param {number} x
   * @param {number} y
   * @param {Palette} palette
   */
  const note = (context, said, x, y, palette) => {
    context.font = `700 15px ${palette.font}`;
    context.textAlign = "center";
    context.lineWidth = 5;
    context.lineJoin = "round";
    context.strokeStyle = palette.page;
    context.strokeText(said, x, y);
    context.fillStyle = palette.ink;
    context.fillText(said, x, y);
    context.textAlign = "left";
  };

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {ArrayLike<number>} field  rows from the top of the picture
   * @param {number} n
   * @param {string} color
   * @param {number} width
   * @param {number} height
   */
  const shade = (context, field, n, color, width, height) => {
    if (pixels.width !== n) pixels.width = pixels.height = n;
    const small = /** @type {CanvasRenderingContext2D} */ (pixels.getContext("2d"));
    const image = small.createImageData(n, n);
    const value = parseInt(color.slice(1), 16);
    for (let i = 0; i < n * n; i++) {
      image.data[4 * i] = value >> 16;
      image.data[4 * i + 1] = (value >> 8) & 255;
      image.data[4 * i + 2] = value & 255;
      image.data[4 * i + 3] = 150 * field[i];
    }
    small.putImageData(image, 0, 0);
    context.imageSmoothingEnabled = true;
    context.drawImage(pixels, 0, 0, width, height);
  };

  /**
   * Draw where the field is 1/2 (marching squares).
   * @param {CanvasRenderingContext2D} context
   * @param {ArrayLike<number>} field
   * @param {number} n
   * @param {string} color
   * @param {number} width
   * @param {number} height
   */
  const boundary = (context, field, n, color, width, height) => {
    const at = (/** @type {number} */ i) => Math.max(0, Math.min(n - 1, i)); // the last value reaches to the edge
    const place = (/** @type {number} */ i, /** @type {number} */ size) => ((i + 0.5) * size) / n;
    context.beginPath();
    for (let i = -1; i < n; i++) {
      for (let j = -1; j < n; j++) {
        const above = n * at(i), below = n * at(i + 1);
        const a = field[above + at(j)] - 0.5, b = field[above + at(j + 1)] - 0.5;
        const c = field[below + at(j + 1)] - 0.5, d = field[below + at(j)] - 0.5;
        /** @type {number[][]} */
        const cuts = [];
        if (a > 0 !== b > 0) cuts.push([j + a / (a - b), i]);
        if (b > 0 !== c > 0) cuts.push([j + 1, i + b / (b - c)]);
        if (d > 0 !== c > 0) cuts.push([j + d / (d - c), i + 1]);
        if (a > 0 !== d > 0) cuts.push([j, i + a / (a - d)]);
        for (let k = 0; k + 1 < cuts.length; k += 2) {
          context.moveTo(place(cuts[k][0], width), place(cuts[k][1], height));
          context.lineTo(place(cuts[k + 1][0], width), place(cuts[k + 1][1], height));
        }
      }
    }
    context.strokeStyle = color;
    context.lineWidth = 3;
    context.lineCap = "round";
    context.stroke();
  };

  /**
   * @typedef {{steps: number, left: {train: number, eval: number}, right: {train: number, eval: number}}} Moment
   */

  /**
   * Draw the loss of both sides: solid with running statistics, dashed with those of the batch, the
   * gap between them as a band.
   * @param {HTMLCanvasElement} canvas
   * @param {Moment[]} moments
   * @param {Record<SideName, string>} colors
   * @param {Palette} palette
   * @param {number} goal  steps that the axis shows at least
   */
  const drawLoss = (canvas, moments, colors, palette, goal) => {
    const { context, width, height } = prepare(canvas);
    if (!width) return;
    const values = moments.flatMap(({ left, right }) => [left.train, left.eval, right.train, right.eval])
      .filter((v) => Number.isFinite(v) && v > 0);
    const clamp = (/** @type {number} */ v) => Math.max(1e-4, Math.min(1e4, v));
    const low = Math.log10(clamp(0.85 * Math.min(0.5, ...values)));
    const high = Math.log10(clamp(1.2 * Math.max(1, ...values)));
    const last = Math.max(goal, moments.length ? moments[moments.length - 1].steps : 0);
    const box = { left: 38, right: width - 66, top: 10, bottom: height - 34 };
    const across = (/** @type {number} */ s) => box.left + (s / last) * (box.right - box.left);
    const down = (/** @type {number} */ v) => {
      const l = Math.max(low, Math.min(high, Number.isFinite(v) ? Math.log10(Math.max(v, 1e-9)) : high));
      return box.bottom - ((l - low) / (high - low)) * (box.bottom - box.top);
    };
    context.font = `12px ${palette.font}`;
    context.lineWidth = 1;
    context.textBaseline = "middle";
    context.textAlign = "right";
    context.fillStyle = context.strokeStyle = palette.ink;
    for (const v of decades(low, high)) {
      const y = down(v);
      context.globalAlpha = 0.2;
      line(context, [[box.left, y], [box.right, y]]);
      context.globalAlpha = 0.85;
      context.fillText(v >= 1e4 ? v.toExponential(0).replace("+", "") : text(v), box.left - 5, y);
    }
    context.textAlign = "center";
    context.textBaseline = "alphabetic";
    for (const s of ticks(last)) context.fillText(String(s), across(s), box.bottom + 16);
    context.fillText("step", (box.left + box.right) / 2, height - 3);
    context.globalAlpha = 0.6;
    context.setLineDash([1, 4]);
    line(context, [[box.left, down(Math.LN2)], [box.right, down(Math.LN2)]]);
    context.setLineDash([]);
    context.globalAlpha = 1;
    if (!moments.length) return;
    /** @type {{y: number, label: string, color: string}[]} */
    const ends = [];
    for (const name of SIDES) {
      const points = (/** @type {"train" | "eval"} */ mode) =>
        moments.filter((m) => Number.isFinite(m[name][mode])).map((m) => [across(m.steps), down(m[name][mode])]);
      const byRunning = points("eval"), byBatch = points("train");
      if (!byRunning.length) continue;
      context.strokeStyle = context.fillStyle = colors[name];
      context.globalAlpha = 0.22;
      context.beginPath();
      [...byRunning, ...byBatch.slice().reverse()].forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
      context.fill();
      context.globalAlpha = 1;
      context.lineWidth = 2.5;
      line(context, byRunning);
      context.lineWidth = 1.75;
      context.setLineDash([3, 3]);
      line(context, byBatch);
      context.setLineDash([]);
      const end = byRunning[byRunning.length - 1];
      context.beginPath();
      if (name === "left") context.arc(end[0], end[1], 4, 0, 2 * Math.PI);
      else context.rect(end[0] - 3.5, end[1] - 3.5, 7, 7);
      context.fill();
      ends.push({ y: end[1], label: name === "left" ? "\u25cf left" : "\u25a0 right", color: colors[name] });
    }
    ends.sort((a, b) => a.y - b.y);
    if (ends.length > 1 && ends[1].y - ends[0].y < 16) {
      const middle = Math.min(box.bottom - 8, Math.max(box.top + 8, (ends[0].y + ends[1].y) / 2));
      ends[0].y = middle - 8;
      ends[1].y = middle + 8;
    }
    context.textAlign = "left";
    context.textBaseline = "middle";
    context.font = `700 13px ${palette.font}`;
    for (const { y, label, color } of ends) {
      context.fillStyle = color;
      context.fillText(label, box.right + 9, y);
    }
  };

  /** Half of each colour. @param {string} color such as #2c7fb8 @param {string} other such as rgb(0, 0, 0) */
  const mixed = (color, other) => {
    const parts = (other.match(/\d+/g) ?? []).slice(0, 3).map((part, i) =>
      Math.round((Number(part) + parseInt(color.slice(1 + 2 * i, 3 + 2 * i), 16)) / 2));
    return parts.length === 3 ? `rgb(${parts.join(", ")})` : color;
  };

  /** @param {CanvasRenderingContext2D} context @param {number[][]} points */
  const line = (context, points) => {
    context.beginPath();
    points.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
    context.stroke();
  };

  /** Round numbers on a log axis, at most six. @param {number} low @param {number} high both as powers of ten */
  const decades = (low, high) => {
    for (const digits of [[1, 2, 5], [1, 3], [1]]) {
      const found = Array.from({ length: Math.ceil(high) - Math.floor(low) + 1 }, (_, i) => Math.floor(low) + i)
        .flatMap((power) => digits.map((digit) => Number(`${digit}e${power}`)))
        .filter((v) => Math.log10(v) >= low && Math.log10(v) <= high);
      if (found.length <= 6 || digits.length === 1) return found;
    }
    return [];
  };

  /** About four round numbers up to the last one. @param {number} last */
  const ticks = (last) => {
    const power = 10 ** Math.floor(Math.log10(last / 4));
    const step = [1, 2, 5, 10].map((f) => f * power).find((s) => s >= 1 && last / s <= 5) ?? last;
    return Array.from({ length: Math.floor(last / step) + 1 }, (_, i) => i * step);
  };

  const HEAD = 18; // height of what stands above the first layer, in pixels

  /** The height of a layer: more where there are few. @param {number} depth @param {number} width */
  const rowOf = (depth, width) => (width < 260 ? 74 : Math.max(78, Math.min(150, 330 / depth)));

  /**
   * Draw a row for each layer: histogram of the activations, mean and deviation of every unit in the
   * batch (filled) and running (lines), and the size of the gradient.
   * @param {HTMLCanvasElement} canvas
   * @param {Side} side
   * @param {Side} other  shares the scale of its statistics
   * @param {string} color
   * @param {Palette} palette
   */
  const drawLayers = (canvas, side, other, color, palette) => {
    const depth = Math.max(side.layers.length, other.layers.length);
    const row = rowOf(depth, canvas.clientWidth);
    canvas.style.height = `${HEAD + depth * row}px`;
    const { context, width } = prepare(canvas);
    if (!width) return;
    const gap = Math.max(8, width / 30);
    const columns = [0.36, 0.46, 0.18].map((share) => share * (width - 2 * gap));
    context.font = `12px ${palette.font}`;
    context.fillStyle = palette.ink;
    context.textAlign = "left";
    const names = width < 260 ? ["act.", "stats", "grad."] : ["activations", "statistics", "gradient"];
    context.fillText(names[0], 0, 12);
    context.fillText(names[1], columns[0] + gap, 12);
    context.textAlign = "right";
    context.fillText(names[2], width, 12);
    side.layers.forEach((layer, i) => {
      const top = HEAD + i * row + 18, height = row - 26;
      context.font = `700 12px ${palette.font}`;
      context.fillStyle = palette.ink;
      context.textAlign = "left";
      context.fillText(`layer ${i + 1}`, 0, top - 5);
      histogram(context, layer, 0, top, columns[0], height, color, palette);
      const reach = reachOf([layer, other.layers[i]]);
      statistics(context, layer, reach, columns[0] + gap, top, columns[1], height, color, palette);
      size(context, layer.gradient, columns[0] + columns[1] + 2 * gap, top, columns[2], height, color, palette);
    });
  };

  /** How far the statistics of these layers reach from 0. @param {(Layer | undefined)[]} layers */
  const reachOf = (layers) => {
    let reach = 0;
    for (const layer of layers) {
      if (!layer) continue;
      const { batchMean, batchDeviation, runningMean, runningDeviation } = layer;
      for (let u = 0; u < batchMean.length; u++) {
        const far = Math.max(
          Math.abs(batchMean[u]) + batchDeviation[u],
          runningMean && runningDeviation ? Math.abs(runningMean[u]) + runningDeviation[u] : 0,
        );
        if (Number.isFinite(far)) reach = Math.max(reach, far);
      }
    }
    return reach || 1;
  };

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {Layer} layer
   * @param {number} left
   * @param {number} top
   * @param {number} width
   * @param {number} height
   * @param {string} color
   * @param {Palette} palette
   */
  const histogram = (context, { histogram: counts, low, high }, left, top, width, height, color, palette) => {
    let most = 0;
    for (let b = 0; b < counts.length; b++) most = Math.max(most, counts[b]);
    const bar = width / counts.length;
    context.fillStyle = color;
    for (let b = 0; b < counts.length; b++) {
      const h = most ? Math.sqrt(counts[b] / most) * height : 0; // ReLU's zeros leave room for the rest
      context.fillRect(left + b * bar, top + height - h, Math.max(bar - 0.5, 0.75), h);
    }
    context.strokeStyle = palette.ink;
    context.lineWidth = 1;
    context.globalAlpha = 0.6;
    line(context, [[left, top + height], [left + width, top + height]]);
    const zero = left + (-low / (high - low)) * width;
    line(context, [[zero, top + height], [zero, top + height + 4]]);
    context.globalAlpha = 1;
  };

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {Layer} layer
   * @param {number} reach
   * @param {number} left
   * @param {number} top
   * @param {number} width
   * @param {number} height
   * @param {string} color
   * @param {Palette} palette
   */
  const statistics = (context, layer, reach, left, top, width, height, color, palette) => {
    const { batchMean, batchDeviation, runningMean, runningDeviation } = layer;
    const n = batchMean.length, unit = width / n;
    const down = (/** @type {number} */ v) =>
      top + (0.5 - 0.5 * Math.max(-1, Math.min(1, (Number.isFinite(v) ? v : 0) / reach))) * height;
    const bar = Math.max(0.75, unit - Math.min(3, unit / 4));
    for (let u = 0; u < n; u++) {
      const x = left + u * unit;
      const up = down(batchMean[u] + batchDeviation[u]), low = down(batchMean[u] - batchDeviation[u]);
      context.fillStyle = color;
      context.globalAlpha = 0.5;
      context.fillRect(x, up, bar, Math.max(1, low - up));
      context.globalAlpha = 1;
      context.fillRect(x, down(batchMean[u]) - 1, bar, 2);
    }
    if (runningMean && runningDeviation) {
      context.strokeStyle = palette.ink;
      for (const [width, sign] of [[1.25, 1], [1.25, -1], [2, 0]]) {
        context.lineWidth = width;
        context.beginPath();
        for (let u = 0; u < n; u++) {
          const y = down(runningMean[u] + sign * runningDeviation[u]);
          context.moveTo(left + u * unit, y);
          context.lineTo(left + u * unit + bar, y);
        }
        context.stroke();
      }
    }
    context.fillStyle = palette.ink;
    context.font = `11px ${palette.font}`;
    context.textAlign = "right";
    context.fillText(`\u00b1${text(Number(reach.toPrecision(2)))}`, left + width, top - 5);
  };

  /**
   * The size of a gradient as a bar on a log scale from 1e-6 to 100, and as a number.
   * @param {CanvasRenderingContext2D} context
   * @param {number} gradient
   * @param {number} left
   * @param {number} top
   * @param {number} width
   * @param {number} height
   * @param {string} color
   * @param {Palette} palette
   */
  const size = (context, gradient, left, top, width, height, color, palette) => {
    const share = gradient > 0 ? Math.max(0, Math.min(1, (Math.log10(gradient) + 6) / 8)) : 0;
    context.fillStyle = color;
    context.fillRect(left, top + height * (1 - share), width, height * share);
    context.strokeStyle = palette.ink;
    context.globalAlpha = 0.6;
    context.lineWidth = 1;
    context.strokeRect(left + 0.5, top + 0.5, width - 1, height - 1);
    context.globalAlpha = 1;
    context.fillStyle = palette.ink;
    context.font = `11px ${palette.font}`;
    context.textAlign = "right";
    context.fillText(Number.isFinite(gradient) ? gradient.toPrecision(1).replace("e-", "e\u2212").replace("e+", "e") : "", left + width, top - 5);
  };

  // --- training -----------------------------------------------------------------------------
  /** The two sides in workers, or on the page: see Runner.connect. */
  const startEngine = () => {
    const link = Runner.connect();
    /** @type {{resolve: (snapshot: Snapshot) => void, reject: (error: Error) => void} | null} */
    let waiting = null;
    let perStep = 0.5, perPicture = 4; // milliseconds, measured
    link.onmessage = ({ data }) => {
      const asked = waiting;
      waiting = null;
      if (data.type === "error") asked?.reject(new Error(data.message));
      else {
        if (data.asked) perStep = 0.8 * perStep + 0.2 * (data.trained / data.asked);
        perPicture = data.drawn;
        asked?.resolve(snapshotOf(data));
      }
    };
    /** @param {any} order @returns {Promise<Snapshot>} */
    const send = (order) => new Promise((resolve, reject) => {
      waiting = { resolve, reject };
      link.postMessage(order);
    });
    return {
      /** @param {Experiment} experiment @param {number} grid */
      start: ({ shared, left, right, mode }, grid) => send({ type: "start", shared, left, right, mode, grid }),
      /** @param {number} steps @param {string} mode @param {number} grid */
      step: (steps, mode, grid) => send({ type: "step", steps, mode, grid }),
      /** How many steps fit into some milliseconds; where little is left, as many as take the time of a picture. @param {number} budget */
      fit: (budget) => Math.max(1, Math.floor(Math.max(budget - perPicture, perPicture) / perStep)),
    };
  };

  /** @param {any} data of Runner @returns {Snapshot} */
  const snapshotOf = ({ steps, grid, loss, accuracy, fields, layers, diverged }) => {
    const side = (/** @type {SideName} */ name) => ({
      loss: loss[name], accuracy: accuracy[name], field: fields[name], diverged: diverged[name] !== null,
      layers: layers[name].map((/** @type {any} */ layer) => ({
        ...layer, ...layer.histogram, histogram: layer.histogram.counts, gradient: layer.gradientNorm,
      })),
    });
    return { steps, grid, left: side("left"), right: side("right") };
  };

  /** The points for training. @param {Settings} shared @returns {Point[]} */
  const pointsOf = (shared) => {
    if (shared.data === "drawn") return shared.points.map(pointOf);
    const { x, y } = Data.make(shared).train;
    return Array.from(y, (label, i) => ({ x: x[2 * i], y: x[2 * i + 1], label }));
  };

  /** @param {number[]} row @returns {Point} */
  const pointOf = ([x, y, label]) => ({ x, y, label });

  /** Are there points of both classes for both halves? @param {Settings} shared */
  const enough = ({ data, points }) =>
    data !== "drawn" || [0, 1].every((label) => points.filter((/** @type {number[]} */ p) => p[2] === label).length > 1);

  // --- the parts of a page ------------------------------------------------------------------
  /**
   * Make an element. An attribute that is false is left out; a string among the children is text.
   * @param {string} tag
   * @param {Record<string, string | number | boolean>} [attributes]
   * @param {...(Node | string)} children
   * @returns {any}
   */
  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes))
      if (value !== false) element.setAttribute(name, value === true ? "" : String(value));
    element.append(...children);
    return element;
  };

  /** @param {string} name @param {string} label */
  const picture = (name, label) => make("canvas", { class: name, role: "img", "aria-label": label });

  /**
   * A control for an option: a list, a slider with a log scale, or a field for a number.
   * @param {string} name
   * @param {Option} option
   * @param {string} label
   * @returns {{element: HTMLElement, control: any, set: (value: Value) => void, get: () => Value}}
   */
  const control = (name, option, label) => {
    const { choices, values, low = 0, high = 0, slider } = option;
    if (slider) {
      const input = make("input", {
        type: "range", min: Math.log10(slider[0]), max: Math.log10(slider[1]), step: 0.05, name, "aria-label": label,
      });
      const output = make("span", { class: "value", "aria-hidden": "true" });
      const show = (/** @type {number} */ value) => {
        output.textContent = text(value);
        input.setAttribute("aria-valuetext", text(value));
      };
      return {
        element: make("div", { class: "slider" }, input, output),
        control: input,
        set: (value) => { input.value = String(Math.log10(Number(value))); show(Number(value)); },
        get: () => { // two digits that count
          const value = Number((10 ** Number(input.value)).toPrecision(2));
          show(value);
          return value;
        },
      };
    }
    if (choices || values) {
      const select = make("select", { name, "aria-label": label });
      const offer = (/** @type {Value} */ value, /** @type {string} */ said) =>
        select.append(make("option", { value }, said));
      if (choices) for (const [value, said] of Object.entries(choices)) offer(value, said);
      else for (const value of values ?? []) offer(value, text(value));
      return {
        element: select,
        control: select,
        set: (value) => {
          if (![...select.options].some((o) => o.value === String(value))) offer(value, text(Number(value)));
          select.value = String(value);
        },
        get: () => (choices ? select.value : Number(select.value)),
      };
    }
    const input = make("input", {
      type: "number", min: low, max: high, step: 1, inputmode: "numeric", name, "aria-label": label,
    });
    return {
      element: input,
      control: input,
      set: (value) => { input.value = String(value); },
      get: () => Math.max(low, Math.min(high, Math.round(Number(input.value)) || 0)),
    };
  };

  /**
   * The steps a second that each speed takes; Infinity: as many as fit between two pictures.
   * @type {Record<string, {label: string, rate: number}>}
   */
  const SPEEDS = {
    slow: { label: "2 steps a second", rate: 2 },
    medium: { label: "60 steps a second", rate: 60 },
    fast: { label: "600 steps a second", rate: 600 },
    full: { label: "as fast as it goes", rate: Infinity },
  };
  const REST = 20000; // steps after which a run waits to be told to go on

  /** @param {number} steps */
  const speedFor = (steps) => (steps <= 24 ? "slow" : steps <= 600 ? "medium" : "fast");

  // --- the laboratory -----------------------------------------------------------------------
  /**
   * Fill an element with a laboratory. Its data attributes: `preset`, a key of PRESETS; `size`,
   * "small" for the pictures and three buttons; `base`, the way to the root of the book.
   * @param {HTMLElement} root
   */
  const mount = (root) => {
    if ("live" in root.dataset) return;
    root.dataset.live = "";
    const small = root.dataset.size === "small";
    const base = root.dataset.base ?? "";
    const calm = matchMedia("(prefers-reduced-motion: reduce)");

    /** @param {string} key */
    const presetOf = (key) => PRESETS.find((p) => p.key === key);
    let preset = presetOf(root.dataset.preset ?? "") ?? PRESETS[0];

    /** @param {any} from @returns {Experiment} */
    const experimentOf = ({ settings }) => {
      const { left, right, shared } = settings;
      const side = (/** @type {Settings} */ own) => ({ ...Network.DEFAULTS, ...own });
      return structuredClone({
        shared: { points: [], ...Data.DEFAULTS, ...shared }, left: side(left), right: side(right), mode: settings.mode ?? "eval",
      });
    };

    let experiment = experimentOf(preset);
    /** @type {string | null} */
    let chosen = preset.key; // null once the reader has set something
    let limit = preset.steps;
    let speed = speedFor(preset.steps);
    let wanted = false; // the reader, or the page as it opens, wants it to run
    let seen = false; // it is in sight
    let begun = false; // something was shown
    /** @type {Snapshot | null} */
    let snapshot = null;
    /** @type {Moment[]} */
    let moments = [];
    /** @type {Point[]} */
    let points = [];
    /** @type {{x: number, y: number} | null} */
    let cross = null;
    let problem = ""; // a sentence about what the reader or the address asked for

    // -- what stands on the page
    const button = (/** @type {string} */ name, /** @type {string} */ label) =>
      make("button", { type: "button", class: name }, label);
    const run = button("next run", "Run"), step = button("step", "Step"), reset = button("reset", "Start over");
    const count = make("span", { class: "count" });
    const status = make("p", { class: "status", role: "status", "aria-live": "polite" });
    const message = make("p", { class: "message", role: "alert" });
    const watch = make("p", { class: "watch" });
    const loss = picture("loss", "Loss over the steps");
    /** @type {Record<SideName, any>} */
    const parts = { left: null, right: null };
    for (const name of SIDES) {
      const field = picture("field", "");
      parts[name] = {
        field,
        name: make("span", { class: "norm" }),
        numbers: make("p", { class: "reading" }),
        layers: picture("layers", ""),
      };
      parts[name].box = make("div", { class: `side ${name}` },
        make("p", { class: "name" }, make("span", { class: "sign", "aria-hidden": "true" },
          name === "left" ? "\u25cf" : "\u25a0"), ` ${name === "left" ? "Left" : "Right"}: `, parts[name].name),
        field, parts[name].numbers);
    }
    const sides = make("div", { class: "sides" }, parts.left.box, parts.right.box);
    const key = make("p", { class: "key" },
      make("span", { class: "one", "aria-hidden": "true" }), " class 1, shaded where the network says so; ",
      make("span", { class: "zero", "aria-hidden": "true" }), " class 0. Line: the boundary. Below: loss and accuracy on the test half in both modes.");
    const lossKey = make("p", { class: "key" }, "Loss on the test half: solid with running statistics, "
      + "dashed with those of the batch, the band between them is the gap. Dots: guessing.");
    const lossBox = make("div", {}, loss, lossKey);

    /** @type {Record<string, ReturnType<typeof control>>} */
    const sharedControls = {};
    /** @type {Record<SideName, Record<string, ReturnType<typeof control>>>} */
    const sideControls = { left: {}, right: {} };
    /** @type {Record<string, HTMLElement>} */
    const rows = {};
    const table = make("table", { class: "numbers" });
    const elsewhere = small ? "" : " The table has the numbers.";
    const details = make("details", { class: "all-numbers" }, make("summary", {}, "The numbers as a table"), table);
    const modes = make("fieldset", { class: "choices modes" }, make("legend", {}, "Mode"));
    for (const [value, said] of Object.entries(MODES))
      modes.append(make("label", {}, make("input", { type: "radio", name: `mode-${id(root)}`, value }), ` ${said}`));
    const presets = make("div", { class: "actions presets", role: "group", "aria-label": "Presets" });
    const speeds = make("select", { "aria-label": "Speed", name: "speed" });
    for (const [value, { label }] of Object.entries(SPEEDS)) speeds.append(make("option", { value }, label));
    const share = button("share", "Copy link");
    const pen = make("fieldset", { class: "choices pen" }, make("legend", {}, "Draw"));
    const penName = `pen-${id(root)}`;
    for (const [value, said] of [["1", "\u25cf class 1"], ["0", "\u25cb class 0"]])
      pen.append(make("label", {}, make("input", { type: "radio", name: penName, value, checked: value === "1" }), ` ${said}`));
    const undo = button("undo", "Take back"), clear = button("clear", "Clear");
    pen.append(undo, clear, make("p", { class: "hint" },
      "Click or tap in a picture. By keyboard: go to a picture, move with the arrow keys, Space draws, Backspace takes back."));

    const data = make("form", { class: "data", autocomplete: "off" });
    const settings = make("form", { class: "settings", autocomplete: "off" });
    const buildSettings = () => {
      const shared = make("div", { class: "shared" });
      for (const [name, option] of Object.entries(SHARED)) {
        sharedControls[name] = control(name, option, option.label);
        shared.append(make("label", {}, make("span", {}, option.label), sharedControls[name].element));
      }
      const dice = button("dice", "New seed");
      dice.addEventListener("click", () => change(() => {
        experiment.shared.seed = crypto.getRandomValues(new Uint32Array(1))[0] % 10000;
      }));
      shared.append(dice);
      const body = make("tbody");
      for (const [name, option] of Object.entries(SIDE)) {
        const cells = SIDES.map((side) => {
          const label = `${option.label}, ${side}`;
          sideControls[side][name] = control(`${side}-${name}`, option, label);
          return make("td", {}, sideControls[side][name].element);
        });
        rows[name] = make("tr", {}, make("th", { scope: "row" }, option.label, make("span", { class: "differs" }, "differs")), ...cells);
        body.append(rows[name]);
      }
      const copy = button("copy", "Set right as left");
      copy.addEventListener("click", () => change(() => { experiment.right = structuredClone(experiment.left); }));
      data.append(make("p", { class: "heading" }, "Data of both sides"), shared, pen);
      settings.append(
        make("table", {}, make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "Setting"),
          make("th", { scope: "col" }, "\u25cf Left"), make("th", { scope: "col" }, "\u25a0 Right"))), body),
        copy,
      );
    };

    const bar = make("form", { class: "actions bar", autocomplete: "off" });
    const more = make("form", { class: "actions more", autocomplete: "off" });
    const link = make("a", { class: "open" }, "Open in the laboratory");
    root.replaceChildren();
    root.classList.add("normlab-controls");
    if (small) {
      bar.append(run, reset, count, link);
      root.append(watch, message, sides, lossBox, bar, status);
    } else {
      buildSettings();
      for (const { key, title } of PRESETS) {
        const choose = button("preset", title);
        choose.dataset.key = key;
        choose.addEventListener("click", () => load(presetOf(key), true));
        presets.append(choose);
      }
      bar.append(run, step, reset, count, share);
      more.append(modes, make("label", { class: "speed" }, "Speed ", speeds));
      const layersKey = make("p", { class: "key" }, "Activations: a histogram for the last batch. Statistics: mean and "
        + "deviation of each unit, in the batch as bars, running as lines. Gradient: its size, on a log scale.");
      const layers = make("div", { class: "layer-box" }, make("div", { class: "sides" }, parts.left.layers, parts.right.layers), layersKey);
      const fields = make("div", { class: "fields" }, sides, key);
      root.append(presets, watch, message, bar,
        make("div", { class: "bench" }, fields, make("div", { class: "losses" }, lossBox, more), layers, data, settings), details, status);
    }

    // -- drawing
    /** @returns {Palette} */
    const readPalette = () => {
      const style = getComputedStyle(root);
      let page = root.parentElement, color = "rgba(0, 0, 0, 0)";
      for (; page && /^rgba\(.*, 0\)$|^transparent$/.test(color); page = page.parentElement)
        color = getComputedStyle(page).backgroundColor;
      return { ink: style.color, page: /, 0\)$|^transparent$/.test(color) ? "#ffffff" : color, font: style.fontFamily };
    };
    let palette = readPalette();
    const colors = () => ({ left: COLORS[experiment.left.norm], right: COLORS[experiment.right.norm] });

    /** Beside a line of the same norm the right one takes on the colour of the text. */
    const lineColors = () => {
      const { left, right } = colors();
      return { left, right: left === right ? mixed(right, palette.ink) : right };
    };

    const goal = () => (chosen ? preset.steps : 100);

    const draw = () => {
      const color = colors();
      if (!snapshot) {
        for (const name of SIDES) {
          drawField(parts[name].field, null, 0, points, color[name], palette, drawing() ? cross : null);
          parts[name].numbers.textContent = drawing() ? "Draw two points of each class." : "";
          prepare(parts[name].layers);
        }
        drawLoss(loss, [], lineColors(), palette, goal());
        count.textContent = "step 0";
        return;
      }
      for (const name of SIDES) {
        const side = snapshot[name], part = parts[name];
        drawField(part.field, side, snapshot.grid, points, color[name], palette, drawing() ? cross : null);
        const other = name === "left" ? snapshot.right : snapshot.left;
        if (!small) drawLayers(part.layers, side, other, color[name], palette);
        part.numbers.replaceChildren(...(side.diverged ? ["diverged"] : /** @type {("train" | "eval")[]} */ (["train", "eval"])
          .map((mode) => make("span", { class: mode === experiment.mode ? "shown" : "" },
            `${mode}: loss ${text(side.loss[mode])}, ${percent(side.accuracy[mode])}`))));
      }
      drawLoss(loss, moments, lineColors(), palette, goal());
      count.textContent = `step ${snapshot.steps}`;
    };

    /** What a side is called: by its norm, or by what else tells it from the other. @param {SideName} name */
    const nameOf = (name) => {
      const { left, right } = experiment;
      const differs = Object.keys(SIDE).find((option) => left[option] !== right[option]);
      if (!differs || differs === "norm") return NAMES[experiment[name].norm];
      const { label, choices } = SIDE[differs], value = experiment[name][differs];
      return `${label.replace("BN ", "")} ${choices ? choices[value] : text(value)}`;
    };

    const describe = () => {
      const names = SIDES.map(nameOf);
      SIDES.forEach((name, i) => {
        parts[name].name.textContent = names[i];
        parts[name].box.style.setProperty("--used", lineColors()[name]);
        const where = name === "left" ? "Left" : "Right";
        const hint = drawing() ? " Arrow keys move a cross, Space draws a point, Backspace takes the last one back." : "";
        parts[name].field.setAttribute("aria-label", `${where}, ${names[i]}: the points and the regions of the two classes.${hint}`);
        parts[name].layers.setAttribute("aria-label", `${where}, ${names[i]}: per layer activations, statistics and gradients.${elsewhere}`);
        if (drawing()) parts[name].field.tabIndex = 0;
        else parts[name].field.removeAttribute("tabindex");
        parts[name].field.setAttribute("role", drawing() ? "application" : "img");
        parts[name].field.classList.toggle("drawn", drawing());
      });
      loss.setAttribute("aria-label", `Loss over the steps, left ${names[0]}, right ${names[1]}.${elsewhere}`);
      for (const box of presets.children) box.setAttribute("aria-pressed", String(box.dataset.key === chosen));
      if (!small) {
        for (const [name, c] of Object.entries(sharedControls)) c.set(experiment.shared[name]);
        for (const side of SIDES)
          for (const [name, c] of Object.entries(sideControls[side])) c.set(experiment[side][name]);
        for (const [name, row] of Object.entries(rows))
          row.classList.toggle("differ", experiment.left[name] !== experiment.right[name]);
        for (const radio of modes.querySelectorAll("input")) radio.checked = radio.value === experiment.mode;
        speeds.value = speed;
        pen.hidden = !drawing();
        for (const name of ["samples", "noise"])
          sharedControls[name].control.disabled = drawing();
      }
      if (chosen) {
        const here = decodeURI(location.pathname).endsWith(preset.chapter); // a link would lead nowhere
        watch.replaceChildren(make("strong", {}, `${preset.title}.`), ` ${preset.watch}${small ? "" : ` ${preset.reach}`}`, ...(here ? [] : [" ",
          make("a", { href: base + preset.chapter }, `Chapter ${Number(preset.chapter.match(/\d+/))}`), " has the reasons."]));
      } else {
        const different = Object.keys(SIDE).filter((name) => experiment.left[name] !== experiment.right[name]);
        watch.replaceChildren(make("strong", {}, "Your own experiment."), different.length
          ? ` Left and right differ in: ${different.map((name) => SIDE[name].label.toLowerCase()).join(", ")}.`
          : " Left and right are equal.");
      }
      if (small) link.href = `${base}laboratory.html#preset=${preset.key}&${write(experiment)}`;
      run.textContent = wanted ? "Pause" : "Run";
      run.setAttribute("aria-label", wanted ? "Pause" : "Run");
      message.textContent = problem;
      message.hidden = !problem;
    };

    const drawing = () => !small && experiment.shared.data === "drawn";

    // -- speech and the table
    let speech = 0;
    /** Say it once the reader's hand rests. @param {string} [first] */
    const say = (first = "") => {
      clearTimeout(speech);
      speech = setTimeout(() => {
        if (!snapshot) {
          status.textContent = first;
          return;
        }
        status.textContent = [first, `Step ${snapshot.steps}.`, ...SIDES.map((name) => {
          const { diverged, loss } = /** @type {Snapshot} */ (snapshot)[name];
          const said = diverged ? "diverged" : `loss ${text(loss.eval)} with running, ${text(loss.train)} with batch statistics`;
          return `${name === "left" ? "Left" : "Right"}, ${nameOf(name)}: ${said}.`;
        })].join(" ");
      }, 600);
    };

    let tabled = 0;
    /** Write the table of numbers, at most once a second. @param {boolean} [now] */
    const tabulate = (now = false) => {
      if (!details.open || !snapshot || (!now && performance.now() - tabled < 1000)) return;
      tabled = performance.now();
      const { left, right, steps } = snapshot;
      /** @type {[string, (side: Side) => string][]} */
      const lines = [
        ["Loss, running statistics", (s) => text(s.loss.eval)],
        ["Loss, batch statistics", (s) => text(s.loss.train)],
        ["Accuracy, running statistics", (s) => percent(s.accuracy.eval)],
        ["Accuracy, batch statistics", (s) => percent(s.accuracy.train)],
      ];
      for (let i = 0; i < Math.max(left.layers.length, right.layers.length); i++) {
        const of = (/** @type {(layer: Layer) => ArrayLike<number> | null} */ get) => (/** @type {Side} */ side) => {
          const values = side.layers[i] && get(side.layers[i]);
          return values ? text(Array.from(values).reduce((a, b) => a + b, 0) / values.length) : "none";
        };
        lines.push(
          [`Layer ${i + 1}: batch mean, over its units`, of((l) => l.batchMean)],
          [`Layer ${i + 1}: running mean`, of((l) => l.runningMean)],
          [`Layer ${i + 1}: batch deviation`, of((l) => l.batchDeviation)],
          [`Layer ${i + 1}: running deviation`, of((l) => l.runningDeviation)],
          [`Layer ${i + 1}: size of the gradient`, (s) => (s.layers[i] ? text(s.layers[i].gradient) : "none")],
        );
      }
      table.replaceChildren(
        make("caption", {}, `Step ${steps}, on the test half`),
        make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "Quantity"),
          ...SIDES.map((name) => make("th", { scope: "col" }, `${name === "left" ? "Left" : "Right"}, ${nameOf(name)}`)))),
        make("tbody", {}, ...lines.map(([what, get]) => make("tr", {},
          make("th", { scope: "row" }, what), make("td", {}, get(left)), make("td", {}, get(right))))),
      );
    };
    details.addEventListener("toggle", () => tabulate(true));

    // -- training
    /** @type {ReturnType<typeof startEngine> | null} */
    let engine = null; // until it is in sight
    let busy = false;
    let frame = 0;
    let before = 0; // when the last steps were asked for
    let owed = 0; // a part of a step
    let era = 0; // grows with each start, so that late answers are known
    let ready = true; // false while the reader has drawn too few points

    /** @param {Snapshot} now */
    const receive = (now) => {
      snapshot = now;
      const { steps, left, right } = now;
      if (!moments.length || steps > moments[moments.length - 1].steps)
        moments.push({ steps, left: left.loss, right: right.loss });
      if (moments.length > 600) moments = moments.filter((_, i) => i % 2 === 0 || i === moments.length - 1);
      root.dataset.steps = String(steps);
      draw();
      tabulate();
      if (left.diverged && right.diverged && wanted) stop("Both sides have diverged.");
      else if (steps >= limit && wanted) stop(chosen && steps === preset.steps ? "This is what to look at." : "It rests.");
    };

    const grid = (/** @type {boolean} */ fine) => (fine ? 64 : 32);

    /** Wait for a picture, unless the sides begin anew meanwhile. @param {Promise<Snapshot>} answer */
    const wait = async (answer) => {
      busy = true;
      const mine = era;
      try {
        const now = await answer;
        if (mine === era) receive(now);
      } catch (error) {
        if (mine === era) complain(error);
      } finally {
        if (mine === era) busy = false;
      }
    };

    /** @param {number} steps @param {boolean} [fine] */
    const ask = (steps, fine = false) => wait((engine ??= startEngine()).step(steps, experiment.mode, grid(fine)));

    /** @param {unknown} error */
    const complain = (error) => {
      problem = error instanceof Error ? error.message : String(error);
      wanted = false;
      describe();
    };

    /** Begin anew: same data, same first weights. */
    const restart = async () => {
      era += 1;
      begun = true;
      busy = false;
      owed = 0;
      moments = [];
      points = [];
      ready = enough(experiment.shared);
      try {
        points = pointsOf(experiment.shared);
      } catch (error) {
        complain(error);
        return;
      }
      if (ready) await wait((engine ??= startEngine()).start(experiment, grid(true)));
      else {
        snapshot = null;
        delete root.dataset.steps;
        draw();
        say("Draw at least two points of each class.");
      }
    };

    const going = () => wanted && ready && seen && !document.hidden;

    const tick = (/** @type {number} */ now) => {
      frame = 0;
      if (!going()) return;
      const pause = calm.matches ? 1000 : 0; // pictures that seldom change, where motion is not wanted
      const passed = Math.min(now - before, Math.max(100, pause));
      if (!busy && now - before >= pause) {
        const { rate } = SPEEDS[speed];
        // 24 milliseconds and the way to the workers and back: a picture every second frame.
        owed = rate === Infinity ? (engine?.fit(calm.matches ? 200 : 24) ?? 1) : owed + (rate * passed) / 1000;
        before = now;
        const steps = Math.min(Math.floor(owed), limit - (snapshot?.steps ?? 0));
        owed -= Math.floor(owed);
        if (steps > 0) ask(steps);
      }
      frame = requestAnimationFrame(tick);
    };

    const wake = () => {
      if (going() && !frame) {
        before = performance.now();
        frame = requestAnimationFrame(tick);
      }
      root.dataset.state = going() ? "running" : wanted ? "waiting" : "paused";
    };

    const start = () => {
      if (snapshot && snapshot.steps >= limit) limit = snapshot.steps + REST;
      wanted = true;
      describe();
      wake();
    };

    /** @param {string} [why] */
    const stop = (why = "") => {
      if (why && chosen) root.dataset.told = "";
      wanted = false;
      describe();
      wake();
      const mine = era;
      setTimeout(() => {
        if (mine !== era || wanted || busy) return;
        ask(0, true).then(() => tabulate(true)); // a finer picture of what has come to rest
      }, 30);
      say(why);
    };

    // -- what the reader does
    /** @param {() => void} set */
    const change = (set) => {
      set();
      problem = "";
      chosen = null;
      limit = REST;
      describe();
      remember();
      restart().then(() => say("Started over."));
      wake();
    };

    let remembering = 0;
    const remember = () => { // the address always leads to what is seen
      if (small) return;
      clearTimeout(remembering);
      remembering = setTimeout(() => history.replaceState(null, "", `#${address()}`), 300);
    };
    const address = () => (chosen ? `preset=${chosen}&` : "") + write(experiment);

    /** @param {any} which @param {boolean} go */
    const load = (which, go) => {
      preset = which;
      chosen = which.key;
      experiment = experimentOf(which);
      limit = which.steps;
      speed = speedFor(which.steps);
      problem = "";
      wanted = go && !calm.matches;
      remember();
      describe();
      restart();
      wake();
    };

    for (const form of [bar, more, data, settings]) form.addEventListener("submit", (/** @type {Event} */ event) => event.preventDefault());
    run.addEventListener("click", () => (wanted ? stop("Paused.") : start()));
    step.addEventListener("click", () => {
      if (wanted) stop();
      if (snapshot && snapshot.steps >= limit) limit = snapshot.steps + REST;
      if (!busy) ask(1, true).then(() => { say(); tabulate(true); });
    });
    reset.addEventListener("click", () => {
      limit = chosen ? preset.steps : REST;
      if (!small) wanted = false;
      else wanted = !calm.matches;
      describe();
      restart().then(() => say("Started over."));
      wake();
    });
    speeds.addEventListener("change", () => { speed = speeds.value; owed = 0; });
    modes.addEventListener("change", (/** @type {any} */ event) => {
      experiment.mode = event.target.value;
      remember();
      if (!busy) ask(0, !wanted).then(() => say());
    });
    data.addEventListener("change", (/** @type {any} */ event) => {
      const { name } = event.target;
      if (Object.hasOwn(sharedControls, name))
        change(() => { experiment.shared[name] = sharedControls[name].get(); });
    });
    settings.addEventListener("change", (/** @type {any} */ event) => {
      const [side, setting] = String(event.target.name).split("-");
      if (side === "left" || side === "right")
        change(() => { experiment[side][setting] = sideControls[side][setting].get(); });
    });
    settings.addEventListener("input", (/** @type {any} */ event) => { // the number moves with the slider
      const [side, setting] = String(event.target.name).split("-");
      if ((side === "left" || side === "right") && SIDE[setting]?.slider) sideControls[side][setting].get();
    });
    share.addEventListener("click", async () => {
      history.replaceState(null, "", `#${address()}`);
      try {
        await navigator.clipboard.writeText(location.href);
        share.textContent = "Copied";
      } catch {
        share.textContent = "It is in the address bar";
      }
      status.textContent = `${share.textContent}.`;
      setTimeout(() => { share.textContent = "Copy link"; }, 2000);
    });

    // -- points drawn by the reader
    const label = () => Number(pen.querySelector("input:checked").value);
    /** @param {{x: number, y: number}} place */
    const addPoint = ({ x, y }) => {
      const list = experiment.shared.points;
      if (list.length >= MAX_POINTS) return;
      const near = (/** @type {number} */ v) => hundredths(Math.max(-REACH, Math.min(REACH, v))) / 100 - REACH;
      change(() => list.push([near(x), near(y), label()]));
    };
    const takeBack = () => { if (experiment.shared.points.length) change(() => experiment.shared.points.pop()); };
    undo.addEventListener("click", takeBack);
    clear.addEventListener("click", () => change(() => { experiment.shared.points = []; }));
    for (const name of SIDES) {
      const { field } = parts[name];
      let last = { x: 0, y: 0 };
      const place = (/** @type {PointerEvent} */ event) => {
        const box = field.getBoundingClientRect();
        return {
          x: ((event.clientX - box.left) / box.width) * 2 * REACH - REACH,
          y: REACH - ((event.clientY - box.top) / box.height) * 2 * REACH,
        };
      };
      field.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => {
        if (!drawing() || event.button) return;
        cross = null;
        addPoint(last = place(event));
      });
      field.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => { // a line of points
        if (!drawing() || !(event.buttons & 1)) return;
        const now = place(event);
        if (Math.hypot(now.x - last.x, now.y - last.y) > 0.15) addPoint(last = now);
      });
      field.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
        if (!drawing()) return;
        const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
        if (move) {
          const far = event.shiftKey ? 0.5 : 0.1;
          const from = cross ?? { x: 0, y: 0 };
          const to = (/** @type {number} */ v) => Math.round(10 * Math.max(-1.4, Math.min(1.4, v))) / 10;
          cross = { x: to(from.x + far * move[0]), y: to(from.y + far * move[1]) };
          draw();
          status.textContent = `${text(cross.x)}, ${text(cross.y)}`;
        } else if (event.key === " " || event.key === "Enter") {
          cross ??= { x: 0, y: 0 };
          addPoint(cross);
        } else if (event.key === "Backspace" || event.key === "Delete") {
          takeBack();
        } else return;
        event.preventDefault();
      });
      field.addEventListener("focus", () => { if (drawing() && field.matches(":focus-visible")) { cross ??= { x: 0, y: 0 }; draw(); } });
      field.addEventListener("blur", () => { cross = null; draw(); });
    }

    // -- the page around it
    const follow = () => { // the address, as it was given or has been changed by hand
      const line = location.hash.slice(1);
      if (small || !line.includes("=")) return;
      const asked = new URLSearchParams(line).get("preset");
      const found = asked ? presetOf(asked) : undefined;
      if (found) preset = found;
      const { experiment: set, complaints } = read(line, experimentOf(preset));
      if (asked && !found) complaints.unshift(`The laboratory has no preset ${asked.slice(0, 40)}.`);
      experiment = set;
      const own = experimentOf(preset);
      chosen = write(set) === write(own) ? preset.key : null;
      limit = chosen ? preset.steps : REST;
      speed = chosen ? speedFor(preset.steps) : "medium";
      problem = complaints.join(" ");
    };
    follow();
    window.addEventListener("hashchange", () => { follow(); describe(); restart(); wake(); });

    new IntersectionObserver((entries) => {
      seen = entries[entries.length - 1].isIntersecting;
      if (seen && !begun) {
        begun = true;
        wanted = !calm.matches;
        describe();
        restart();
      }
      wake();
    }).observe(root);
    document.addEventListener("visibilitychange", wake);
    window.addEventListener("beforeprint", () => { // paper shows what would be seen, in sight or not
      if (begun) return;
      const { shared, left, right, mode } = experiment;
      const runner = Runner.create(shared, left, right);
      points = pointsOf(shared);
      runner.advance(Math.min(limit, 300));
      receive(snapshotOf(runner.snapshot({ grid: 64, mode: mode === "train" ? mode : "eval" })));
    });
    calm.addEventListener("change", () => { if (calm.matches && wanted) stop(); });
    const redraw = () => { palette = readPalette(); describe(); draw(); };
    new ResizeObserver(() => requestAnimationFrame(redraw)).observe(root);
    new MutationObserver(() => requestAnimationFrame(redraw))
      .observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme", "class"] });
    describe();
    root.dataset.state = "paused";
  };

  let ids = 0;
  /** A number of its own for each laboratory of a page. @param {HTMLElement} root */
  const id = (root) => (root.dataset.number ??= String(++ids));

  const mountAll = () =>
    document.querySelectorAll(".normlab-laboratory").forEach((e) => mount(/** @type {HTMLElement} */ (e)));

  return { SIDE, SHARED, COLORS, text, write, read, mount, mountAll };
}

const Laboratory = makeLaboratory();
if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", Laboratory.mountAll);
else Laboratory.mountAll();
