// The arithmetic of the laboratory: a network for points in the plane with one logit. All numbers are
// float64, and a step equals torch's to 1e-9 (tests/laboratory). One factory without outer references.

/**
 * @typedef {object} Settings of one network
 * @property {string} [norm] none, batch, layer, group or rms
 * @property {string} [place] of the norm: before or after the activation
 * @property {number} [depth] hidden layers
 * @property {number} [width] units of each
 * @property {number[]} [widths] instead of depth and width
 * @property {number} [groups] of GroupNorm, dividing the widths; without it the most up to 4 that leave four units each
 * @property {string} [activation] relu, tanh, gelu (its tanh form) or sigmoid
 * @property {number} [scale] factor on the first weights of all layers, not on the biases
 * @property {string} [optimizer] sgd, momentum (0.9) or adam
 * @property {number} [rate]
 * @property {number} [batchSize]
 * @property {number} [weightDecay] added to the gradient of every parameter, as in torch.optim.SGD and Adam
 * @property {number} [dropout] after each hidden layer: probability of a zero
 * @property {number} [momentum] of the running statistics, in PyTorch's convention
 * @property {number} [eps] of the norm
 *
 * @typedef {object} Layer what a layer shows
 * @property {number} width
 * @property {number} count samples in the last batch
 * @property {Float64Array} activations of the last batch [count, width], before dropout
 * @property {Float64Array} batchMean of each unit where the norm stands, or would stand
 * @property {Float64Array} batchVar biased
 * @property {Float64Array | null} runningMean null unless the norm is batch
 * @property {Float64Array | null} runningVar
 * @property {number} gradientNorm of the linear layer's weights
 * @property {number} weightNorm of them
 *
 * @typedef {"batch" | "running" | "last"} Statistics what BN uses: those of its input, the running ones, those of
 *   the last training batch
 *
 * @typedef {Record<string, ArrayLike<number>>} State by name, as in a state_dict: hidden.0.linear.weight, ...
 */

/** @param {ReturnType<typeof makeData>} random where the random numbers come from */
function makeNetwork(random) {
  "use strict";

  const NORMS = ["none", "batch", "layer", "group", "rms"];
  const PLACES = ["before", "after"];
  const ACTIVATIONS = ["relu", "tanh", "gelu", "sigmoid"];
  const OPTIMIZERS = ["sgd", "momentum", "adam"];
  /** @type {Record<string, number[]>} */
  const LIMITS = {
    depth: [1, 8], width: [2, 64], groups: [1, 64], scale: [0.01, 100], rate: [1e-5, 100], batchSize: [2, 256],
    weightDecay: [0, 1], dropout: [0, 0.9], momentum: [0, 1], eps: [1e-12, 1],
  };
  const WHOLE = ["depth", "width", "groups", "batchSize"];
  const DEFAULTS = {
    norm: "none", place: "before", depth: 2, width: 16, activation: "relu", scale: 1, optimizer: "sgd",
    rate: 0.1, batchSize: 32, weightDecay: 0, dropout: 0, momentum: 0.1, eps: 1e-5,
  };
  const CHUNK = 128; // rows that go through the network at once when no batch is asked for
  const BETA1 = 0.9, BETA2 = 0.999, ADAM_EPS = 1e-8, MOMENTUM = 0.9;

  /** Return the settings with defaults for what is missing. @param {Settings} settings */
  function check(settings) {
    const all = { ...DEFAULTS, ...settings };
    /** @param {string} name @param {string} value @param {string[]} names */
    const oneOf = (name, value, names) => {
      if (!names.includes(value)) throw new RangeError(`${name} is ${value}: choose one of ${names.join(", ")}`);
    };
    oneOf("norm", all.norm, NORMS);
    oneOf("place", all.place, PLACES);
    oneOf("activation", all.activation, ACTIVATIONS);
    oneOf("optimizer", all.optimizer, OPTIMIZERS);
    const values = /** @type {Record<string, unknown>} */ (all);
    for (const name of Object.keys(LIMITS))
      if (name !== "groups" || all.groups !== undefined)
        random.inRange(name, values[name], LIMITS[name], WHOLE.includes(name));
    const widths = all.widths ?? Array(all.depth).fill(all.width);
    random.inRange("depth", widths.length, LIMITS.depth, true);
    for (const width of widths) random.inRange("width", width, LIMITS.width, true);
    for (const width of widths)
      if (all.norm === "group" && width % (all.groups ?? 1))
        throw new RangeError(`groups is ${all.groups} and does not divide the width ${width}: choose a divisor`);
    return { ...all, widths };
  }

  /** @param {number} width */
  function mostGroups(width) {
    for (let groups = Math.min(4, width >> 2); groups > 1; groups--) if (width % groups === 0) return groups;
    return 1;
  }

  // --- arithmetic: arrays are row by row, and nothing is allocated ------------------------------

  /**
   * c = a b^T (+ bias): the product behind every pass. Two rows and four columns at a time: each number
   * that is read is used several times.
   * @param {Float64Array} a [rows, inner] @param {Float64Array} b [columns, inner]
   * @param {Float64Array} c [rows, columns] @param {Float64Array | null} bias [columns]
   * @param {number} rows @param {number} columns @param {number} inner
   */
  function product(a, b, c, bias, rows, columns, inner) {
    let row = 0;
    for (; row + 1 < rows; row += 2) {
      const a0 = row * inner, a1 = a0 + inner, c0 = row * columns, c1 = c0 + columns;
      let column = 0;
      for (; column + 3 < columns; column += 4) {
        const b0 = column * inner, b1 = b0 + inner, b2 = b1 + inner, b3 = b2 + inner;
        let p0 = 0, p1 = 0, p2 = 0, p3 = 0, q0 = 0, q1 = 0, q2 = 0, q3 = 0;
        if (bias) {
          p0 = q0 = bias[column];
          p1 = q1 = bias[column + 1];
          p2 = q2 = bias[column + 2];
          p3 = q3 = bias[column + 3];
        }
        for (let k = 0; k < inner; k++) {
          const p = a[a0 + k], q = a[a1 + k], w0 = b[b0 + k], w1 = b[b1 + k], w2 = b[b2 + k], w3 = b[b3 + k];
          p0 += p * w0; p1 += p * w1; p2 += p * w2; p3 += p * w3;
          q0 += q * w0; q1 += q * w1; q2 += q * w2; q3 += q * w3;
        }
        c[c0 + column] = p0; c[c0 + column + 1] = p1; c[c0 + column + 2] = p2; c[c0 + column + 3] = p3;
        c[c1 + column] = q0; c[c1 + column + 1] = q1; c[c1 + column + 2] = q2; c[c1 + column + 3] = q3;
      }
      for (; column < columns; column++) {
        const b0 = column * inner;
        let p0 = bias ? bias[column] : 0, q0 = p0;
        for (let k = 0; k < inner; k++) {
          p0 += a[a0 + k] * b[b0 + k];
          q0 += a[a1 + k] * b[b0 + k];
        }
        c[c0 + column] = p0;
        c[c1 + column] = q0;
      }
    }
    for (; row < rows; row++)
      for (let column = 0; column < columns; column++) {
        const a0 = row * inner, b0 = column * inner;
        let sum = bias ? bias[column] : 0;
        for (let k = 0; k < inner; k++) sum += a[a0 + k] * b[b0 + k];
        c[row * columns + column] = sum;
      }
  }

  /**
   * to = from^T. @param {Float64Array} from [rows, columns] @param {Float64Array} to [columns, rows]
   * @param {number} rows @param {number} columns
   */
  function transpose(from, to, rows, columns) {
    for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) to[c * rows + r] = from[r * columns + c];
  }

  const GELU = Math.sqrt(2 / Math.PI);

  /** @param {string} name @param {Float64Array} x @param {Float64Array} y @param {number} count */
  function activate(name, x, y, count) {
    if (name === "relu") for (let i = 0; i < count; i++) y[i] = x[i] > 0 || x[i] !== x[i] ? x[i] : 0; // NaN stays
    else if (name === "tanh") for (let i = 0; i < count; i++) y[i] = Math.tanh(x[i]);
    else if (name === "sigmoid") for (let i = 0; i < count; i++) y[i] = 1 / (1 + Math.exp(-x[i]));
    else
      for (let i = 0; i < count; i++) {
        const v = x[i];
        y[i] = 0.5 * v * (1 + Math.tanh(GELU * (v + 0.044715 * v * v * v)));
      }
  }

  /**
   * g times the derivative, in place. @param {string} name @param {Float64Array} g
   * @param {Float64Array} x @param {Float64Array} y the input and the output @param {number} count
   */
  function activateBack(name, g, x, y, count) {
    if (name === "relu") {
      for (let i = 0; i < count; i++) if (!(y[i] > 0)) g[i] = 0;
    } else if (name === "tanh") for (let i = 0; i < count; i++) g[i] *= 1 - y[i] * y[i];
    else if (name === "sigmoid") for (let i = 0; i < count; i++) g[i] *= y[i] * (1 - y[i]);
    else
      for (let i = 0; i < count; i++) {
        const v = x[i], t = Math.tanh(GELU * (v + 0.044715 * v * v * v));
        g[i] *= 0.5 * (1 + t) + 0.5 * v * (1 - t * t) * GELU * (1 + 3 * 0.044715 * v * v);
      }
  }

  /**
   * Mean and biased variance of each column. @param {Float64Array} x [rows, columns]
   * @param {Float64Array} mean @param {Float64Array} variance @param {number} rows @param {number} columns
   */
  function columnStatistics(x, mean, variance, rows, columns) {
    mean.fill(0);
    variance.fill(0);
    for (let r = 0, i = 0; r < rows; r++) for (let c = 0; c < columns; c++, i++) mean[c] += x[i];
    for (let c = 0; c < columns; c++) mean[c] /= rows;
    for (let r = 0, i = 0; r < rows; r++)
      for (let c = 0; c < columns; c++, i++) {
        const d = x[i] - mean[c];
        variance[c] += d * d;
      }
    for (let c = 0; c < columns; c++) variance[c] /= rows;
  }

  /**
   * Normalize each column by the statistics given.
   * @param {Float64Array} x @param {Float64Array} hat without gamma and beta @param {Float64Array} y
   * @param {Float64Array} mean @param {Float64Array} variance @param {Float64Array} inverse receives 1 / sigma
   * @param {Float64Array} gamma @param {Float64Array} beta @param {number} eps @param {number} rows
   */
  function normalizeColumns(x, hat, y, mean, variance, inverse, gamma, beta, eps, rows) {
    const columns = gamma.length;
    for (let c = 0; c < columns; c++) inverse[c] = 1 / Math.sqrt(variance[c] + eps);
    for (let r = 0, i = 0; r < rows; r++)
      for (let c = 0; c < columns; c++, i++) {
        const h = (x[i] - mean[c]) * inverse[c];
        hat[i] = h;
        y[i] = gamma[c] * h + beta[c];
      }
  }

  /**
   * Normalize groups of neighbours in each row; with `centred` false by the root mean square alone.
   * @param {Float64Array} x @param {Float64Array} hat @param {Float64Array} y
   * @param {Float64Array} inverse [rows, groups] receives 1 / sigma
   * @param {Float64Array} gamma @param {Float64Array | null} beta @param {number} eps
   * @param {number} rows @param {number} groups @param {boolean} centred
   */
  function normalizeRows(x, hat, y, inverse, gamma, beta, eps, rows, groups, centred) {
    const columns = gamma.length, size = columns / groups;
    for (let r = 0; r < rows; r++)
      for (let group = 0; group < groups; group++) {
        const first = group * size, start = r * columns + first;
        let mean = 0, variance = 0;
        if (centred) {
          for (let i = 0; i < size; i++) mean += x[start + i];
          mean /= size;
        }
        for (let i = 0; i < size; i++) {
          const d = x[start + i] - mean;
          variance += d * d;
        }
        const factor = 1 / Math.sqrt(variance / size + eps);
        inverse[r * groups + group] = factor;
        for (let i = 0; i < size; i++) {
          const h = (x[start + i] - mean) * factor;
          hat[start + i] = h;
          y[start + i] = gamma[first + i] * h + (beta ? beta[first + i] : 0);
        }
      }
  }

  /**
   * Gradients of gamma and beta, and g times gamma in place: what both kinds of norms need first.
   * @param {Float64Array} g @param {Float64Array} hat @param {Float64Array} gamma
   * @param {Float64Array} dGamma @param {Float64Array | null} dBeta @param {number} rows
   */
  function affineBack(g, hat, gamma, dGamma, dBeta, rows) {
    const columns = gamma.length;
    dGamma.fill(0);
    dBeta?.fill(0);
    for (let r = 0, i = 0; r < rows; r++)
      for (let c = 0; c < columns; c++, i++) {
        dGamma[c] += g[i] * hat[i];
        if (dBeta) dBeta[c] += g[i];
        g[i] *= gamma[c];
      }
  }

  /**
   * The gradient loses its mean and its part along hat, and is divided by sigma (chapter 2), in place.
   * @param {Float64Array} g times gamma @param {Float64Array} hat @param {Float64Array} inverse
   * @param {Float64Array} mean @param {Float64Array} along for intermediate results [columns]
   * @param {number} rows @param {number} columns
   */
  function normalizeColumnsBack(g, hat, inverse, mean, along, rows, columns) {
    mean.fill(0);
    along.fill(0);
    for (let r = 0, i = 0; r < rows; r++)
      for (let c = 0; c < columns; c++, i++) {
        mean[c] += g[i];
        along[c] += g[i] * hat[i];
      }
    for (let c = 0; c < columns; c++) {
      mean[c] /= rows;
      along[c] /= rows;
    }
    for (let r = 0, i = 0; r < rows; r++)
      for (let c = 0; c < columns; c++, i++) g[i] = (g[i] - mean[c] - hat[i] * along[c]) * inverse[c];
  }

  /**
   * The same over groups of each row. @param {Float64Array} g @param {Float64Array} hat @param {Float64Array} inverse
   * @param {number} rows @param {number} columns @param {number} groups @param {boolean} centred
   */
  function normalizeRowsBack(g, hat, inverse, rows, columns, groups, centred) {
    const size = columns / groups;
    for (let r = 0; r < rows; r++)
      for (let group = 0; group < groups; group++) {
        const start = r * columns + group * size;
        let mean = 0, along = 0;
        for (let i = start; i < start + size; i++) {
          if (centred) mean += g[i];
          along += g[i] * hat[i];
        }
        mean /= size;
        along /= size;
        const factor = inverse[r * groups + group];
        for (let i = start; i < start + size; i++) g[i] = (g[i] - mean - hat[i] * along) * factor;
      }
  }

  /**
   * The sum of binary cross-entropies of logits. @param {Float64Array} logits
   * @param {Float64Array} y labels @param {number} start of the labels @param {number} n
   */
  function summedLoss(logits, y, start, n) {
    let sum = 0;
    for (let r = 0; r < n; r++) {
      const z = logits[r];
      sum += (z > 0 ? z : 0) - z * y[start + r] + Math.log1p(Math.exp(-Math.abs(z)));
    }
    return sum;
  }

  /**
   * From the logits to the gradients of the output layer and of its input.
   * @param {Float64Array} logits @param {Float64Array} y @param {Float64Array} features [n, width]
   * @param {Float64Array} weight @param {Float64Array} dWeight @param {Float64Array} dBias [1]
   * @param {Float64Array} gradient [n, width] @param {number} n
   */
  function lossBack(logits, y, features, weight, dWeight, dBias, gradient, n) {
    const width = weight.length;
    let sum = 0;
    dWeight.fill(0);
    for (let r = 0, i = 0; r < n; r++) {
      const g = (1 / (1 + Math.exp(-logits[r])) - y[r]) / n;
      sum += g;
      for (let c = 0; c < width; c++, i++) {
        dWeight[c] += g * features[i];
        gradient[i] = g * weight[c];
      }
    }
    dBias[0] = sum;
  }

  /** @param {Float64Array} x @param {Float64Array} factor @param {Float64Array} to @param {number} count */
  function multiply(x, factor, to, count) {
    for (let i = 0; i < count; i++) to[i] = x[i] * factor[i];
  }

  /** @param {Float64Array} x [rows, columns] @param {Float64Array} sums [rows] @param {number} columns */
  function rowSums(x, sums, columns) {
    for (let r = 0, i = 0; r < sums.length; r++) {
      let sum = 0;
      for (let c = 0; c < columns; c++, i++) sum += x[i];
      sums[r] = sum;
    }
  }

  /** @param {Float64Array} values @param {Float64Array} slopes @param {number} rate @param {number} decay */
  function sgd(values, slopes, rate, decay) {
    for (let i = 0; i < values.length; i++) values[i] -= rate * (slopes[i] + decay * values[i]);
  }

  /**
   * @param {Float64Array} values @param {Float64Array} slopes @param {Float64Array} velocity
   * @param {number} rate @param {number} decay
   */
  function sgdWithMomentum(values, slopes, velocity, rate, decay) {
    for (let i = 0; i < values.length; i++) {
      velocity[i] = MOMENTUM * velocity[i] + slopes[i] + decay * values[i];
      values[i] -= rate * velocity[i];
    }
  }

  /**
   * @param {Float64Array} values @param {Float64Array} slopes
   * @param {Float64Array} first moments @param {Float64Array} second moments
   * @param {number} rate @param {number} decay @param {number} steps with this one
   */
  function adam(values, slopes, first, second, rate, decay, steps) {
    const size = rate / (1 - BETA1 ** steps), root = 1 / Math.sqrt(1 - BETA2 ** steps);
    for (let i = 0; i < values.length; i++) {
      const g = slopes[i] + decay * values[i];
      first[i] = BETA1 * first[i] + (1 - BETA1) * g;
      second[i] = BETA2 * second[i] + (1 - BETA2) * g * g;
      values[i] -= (size * first[i]) / (Math.sqrt(second[i]) * root + ADAM_EPS);
    }
  }

  // --- a network --------------------------------------------------------------------------------

  /**
   * Room for the values of one pass. @param {number[]} widths @param {number[]} groups @param {number} capacity rows
   */
  function room(widths, groups, capacity) {
    return {
      capacity,
      count: 0, // rows of the last pass
      input: new Float64Array(capacity * 2),
      logits: new Float64Array(capacity),
      layers: widths.map((width, k) => ({
        linear: new Float64Array(capacity * width),
        middle: new Float64Array(capacity * width), // after the first of norm and activation
        output: new Float64Array(capacity * width), // after the second
        dropped: new Float64Array(capacity * width),
        hat: new Float64Array(capacity * width),
        mask: new Float64Array(capacity * width), // 0, or 1 / (1 - dropout)
        mean: new Float64Array(width),
        variance: new Float64Array(width),
        inverse: new Float64Array(Math.max(width, capacity * groups[k])),
      })),
    };
  }

  /**
   * Make a network. The first weights and biases are drawn as torch's nn.Linear draws them: uniform up to
   * 1 / sqrt(inputs). Each layer has a stream of its own, so that networks of the same seed share them where
   * the shapes agree, whatever the norm.
   * @param {Settings} wanted
   * @param {number} [seed]
   */
  function create(wanted, seed = 0) {
    const settings = check(wanted);
    random.inRange("seed", seed, random.LIMITS.seed, true);
    const { norm, widths, activation, momentum, eps, dropout } = settings;
    const depth = widths.length, first = settings.place === "before"; // the norm comes first
    const groups = widths.map((width) => (norm === "group" ? settings.groups ?? mostGroups(width) : 1));
    const centred = norm !== "rms";

    // All parameters stand in one array, so that an optimizer is one loop.
    /** @type {[string, number, number][]} name, rows, columns */
    const shapes = [];
    widths.forEach((width, k) => {
      shapes.push([`hidden.${k}.linear.weight`, width, k ? widths[k - 1] : 2], [`hidden.${k}.linear.bias`, 1, width]);
      if (norm !== "none") shapes.push([`hidden.${k}.norm.weight`, 1, width]);
      if (norm !== "none" && norm !== "rms") shapes.push([`hidden.${k}.norm.bias`, 1, width]);
    });
    shapes.push(["output.weight", 1, widths[depth - 1]], ["output.bias", 1, 1]);
    const total = shapes.reduce((sum, [, rows, columns]) => sum + rows * columns, 0);
    const values = new Float64Array(total), slopes = new Float64Array(total);
    const velocity = new Float64Array(total), squares = new Float64Array(total);
    /** @param {Float64Array} all @returns {Record<string, Float64Array>} */
    const views = (all) => {
      let start = 0;
      return Object.fromEntries(shapes.map(([name, rows, columns]) => {
        start += rows * columns;
        return [name, all.subarray(start - rows * columns, start)];
      }));
    };
    const parameters = views(values), gradients = views(slopes);
    const firstMoments = views(velocity), secondMoments = views(squares);
    const zeros = (/** @type {number} */ width) => new Float64Array(width);
    const running = widths.map((width) => ({ mean: zeros(width), variance: zeros(width).fill(1) }));
    const hidden = widths.map((width, k) => ({
      width, inputs: k ? widths[k - 1] : 2,
      weight: parameters[`hidden.${k}.linear.weight`], bias: parameters[`hidden.${k}.linear.bias`],
      dWeight: gradients[`hidden.${k}.linear.weight`], dBias: gradients[`hidden.${k}.linear.bias`],
      gamma: parameters[`hidden.${k}.norm.weight`], beta: parameters[`hidden.${k}.norm.bias`] ?? null,
      dGamma: gradients[`hidden.${k}.norm.weight`], dBeta: gradients[`hidden.${k}.norm.bias`] ?? null,
      running: running[k],
    }));
    const out = {
      weight: parameters["output.weight"], bias: parameters["output.bias"],
      dWeight: gradients["output.weight"], dBias: gradients["output.bias"],
    };

    /** @param {number} purpose @param {number} inputs @param {Float64Array} weight @param {Float64Array} bias */
    const draw = (purpose, inputs, weight, bias) => {
      const uniform = random.stream(seed, purpose), bound = 1 / Math.sqrt(inputs);
      for (let i = 0; i < weight.length; i++) weight[i] = (2 * uniform() - 1) * bound * settings.scale;
      for (let i = 0; i < bias.length; i++) bias[i] = (2 * uniform() - 1) * bound;
    };
    hidden.forEach((layer, k) => {
      draw(100 + k, layer.inputs, layer.weight, layer.bias);
      layer.gamma?.fill(1);
    });
    draw(99, widths[depth - 1], out.weight, out.bias);
    const dropoutNumbers = random.stream(seed, 98);

    const widest = Math.max(2, ...widths);
    let training = room(widths, groups, settings.batchSize), other = room(widths, groups, CHUNK);
    let gradient = new Float64Array(0), before = gradient, turned = gradient, turnedInput = gradient;
    const turnedWeight = new Float64Array(widest * widest);
    const meanBack = widths.map(zeros), along = widths.map(zeros); // for intermediate results
    const makeRoom = (/** @type {number} */ rows) => {
      if (rows > training.capacity) training = room(widths, groups, rows);
      gradient = new Float64Array(rows * widest);
      before = new Float64Array(rows * widest);
      turned = new Float64Array(rows * widest);
      turnedInput = new Float64Array(rows * widest);
    };
    makeRoom(settings.batchSize);
    let steps = 0;

    /**
     * The norm of one layer. @param {ReturnType<typeof room>["layers"][number]} values @param {number} k
     * @param {Float64Array} from @param {Float64Array} to @param {number} n @param {Statistics} statistics
     */
    function normalize(values, k, from, to, n, statistics) {
      const { gamma, beta, running, width } = hidden[k], { hat, inverse } = values;
      if (norm !== "batch") normalizeRows(from, hat, to, inverse, gamma, beta, eps, n, groups[k], centred);
      else {
        const used = statistics === "running" ? running : statistics === "last" ? training.layers[k] : values;
        if (statistics === "batch") columnStatistics(from, used.mean, used.variance, n, width);
        normalizeColumns(from, hat, to, used.mean, used.variance, inverse, gamma, beta, eps, n);
      }
      return to;
    }

    /**
     * Take the points in `space.input` through the network.
     * @param {ReturnType<typeof room>} space @param {number} n @param {Statistics} statistics of BN
     * @param {boolean} dropping whether dropout's masks apply
     */
    function pass(space, n, statistics, dropping) {
      space.count = n;
      /** @type {Float64Array} */
      let input = space.input;
      for (let k = 0; k < depth; k++) {
        const layer = hidden[k], values = space.layers[k], count = n * layer.width;
        product(input, layer.weight, values.linear, layer.bias, n, layer.width, layer.inputs);
        /** @type {Float64Array} */
        let from = values.linear;
        if (norm !== "none" && first) from = normalize(values, k, from, values.middle, n, statistics);
        const activated = norm === "none" || first ? values.output : values.middle;
        activate(activation, from, activated, count);
        from = activated;
        if (norm !== "none" && !first) from = normalize(values, k, from, values.output, n, statistics);
        if (dropping) {
          multiply(from, values.mask, values.dropped, count);
          from = values.dropped;
        }
        input = from;
      }
      product(input, out.weight, space.logits, out.bias, n, 1, widths[depth - 1]);
    }

    /**
     * The gradient goes back through a norm.
     * @param {ReturnType<typeof room>["layers"][number]} values @param {number} k @param {number} n
     */
    function normalizeBack({ hat, inverse }, k, n) {
      const { gamma, dGamma, dBeta, width } = hidden[k];
      affineBack(gradient, hat, gamma, dGamma, dBeta, n);
      if (norm === "batch") normalizeColumnsBack(gradient, hat, inverse, meanBack[k], along[k], n, width);
      else normalizeRowsBack(gradient, hat, inverse, n, width, groups[k], centred);
    }

    /** Gradients of the mean loss, after a pass of the training's room. @param {Float64Array} y @param {number} n */
    function backward(y, n) {
      const { logits, layers } = training;
      const features = dropout ? layers[depth - 1].dropped : layers[depth - 1].output;
      lossBack(logits, y, features, out.weight, out.dWeight, out.dBias, gradient, n);
      for (let k = depth - 1; k >= 0; k--) {
        const layer = hidden[k], values = layers[k], { width, inputs } = layer, count = n * width;
        if (dropout) multiply(gradient, values.mask, gradient, count);
        if (norm !== "none" && !first) normalizeBack(values, k, n);
        const x = first && norm !== "none" ? values.middle : values.linear;
        activateBack(activation, gradient, x, first || norm === "none" ? values.output : values.middle, count);
        if (norm !== "none" && first) normalizeBack(values, k, n);
        const input = k === 0 ? training.input : dropout ? layers[k - 1].dropped : layers[k - 1].output;
        transpose(gradient, turned, n, width);
        transpose(input, turnedInput, n, inputs);
        product(turned, turnedInput, layer.dWeight, null, width, inputs, n);
        rowSums(turned, layer.dBias, n);
        if (k > 0) {
          transpose(layer.weight, turnedWeight, width, inputs);
          product(gradient, turnedWeight, before, null, n, inputs, width);
          [gradient, before] = [before, gradient];
        }
      }
    }

    function optimize() {
      const { rate, weightDecay, optimizer } = settings;
      steps++;
      if (optimizer === "sgd") sgd(values, slopes, rate, weightDecay);
      else if (optimizer === "momentum") sgdWithMomentum(values, slopes, velocity, rate, weightDecay);
      else adam(values, slopes, velocity, squares, rate, weightDecay, steps);
    }

    /** @param {number} n */
    function enough(n) {
      if (norm === "batch" && n < 2)
        throw new RangeError(`a batch of ${n} has no variance: in training BN needs at least 2 samples`);
    }

    /**
     * Take `n` points from `start` through the network without dropout. Nothing of the training is touched.
     * @param {Float64Array} x @param {number} start @param {number} n @param {Statistics} statistics
     */
    function quietly(x, start, n, statistics) {
      if (n > other.capacity) other = room(widths, groups, n);
      for (let i = 0; i < 2 * n; i++) other.input[i] = x[2 * start + i];
      pass(other, n, statistics, false);
      return other.logits;
    }

    /**
     * One step of training on a batch: forward, backward, running statistics, optimizer.
     * @param {Float64Array} x [n, 2] @param {Float64Array} y [n]
     * @param {ArrayLike<number>[]} [masks] of dropout, instead of random ones: for each layer 0 or 1 [n, width]
     * @returns {number} the loss before the step: mean binary cross-entropy
     */
    function step(x, y, masks) {
      const n = y.length;
      enough(n);
      if (n > training.capacity) makeRoom(n);
      training.input.set(x);
      if (dropout)
        for (let k = 0; k < depth; k++) {
          const { mask } = training.layers[k], keep = 1 / (1 - dropout);
          for (let i = 0; i < n * widths[k]; i++)
            mask[i] = (masks ? masks[k][i] : dropoutNumbers() >= dropout) ? keep : 0;
        }
      pass(training, n, "batch", dropout > 0);
      if (norm === "batch")
        for (let k = 0; k < depth; k++) {
          const { mean, variance } = training.layers[k], memory = running[k];
          for (let c = 0; c < widths[k]; c++) {
            memory.mean[c] += momentum * (mean[c] - memory.mean[c]);
            memory.variance[c] += momentum * (variance[c] * n / (n - 1) - memory.variance[c]);
          }
        }
      backward(y, n);
      optimize();
      return summedLoss(training.logits, y, 0, n) / n;
    }

    /**
     * See a batch in train mode without learning from it: it is what `layers` shows, and what "last" means.
     * @param {Float64Array} x [n, 2]
     */
    function look(x) {
      const n = x.length / 2;
      enough(n);
      if (n > training.capacity) makeRoom(n);
      training.input.set(x);
      pass(training, n, "batch", false);
    }

    /**
     * Return the logits of all points. In training they are one batch; dropout is off.
     * @param {Float64Array} x [n, 2] @param {boolean} inTraining @returns {Float64Array}
     */
    function forward(x, inTraining) {
      const n = x.length / 2, logits = new Float64Array(n);
      if (inTraining) {
        enough(n);
        logits.set(quietly(x, 0, n, "batch").subarray(0, n));
      } else for (let start = 0; start < n; start += CHUNK) {
        const count = Math.min(CHUNK, n - start);
        logits.set(quietly(x, start, count, "running").subarray(0, count), start);
      }
      return logits;
    }

    /**
     * Return mean loss and accuracy, without dropout. In training BN uses the statistics of batches of
     * `batchSize` points (the last one takes the rest), otherwise the running ones.
     * @param {Float64Array} x @param {Float64Array} y @param {boolean} inTraining @param {number} [batchSize]
     */
    function evaluate(x, y, inTraining, batchSize = y.length) {
      const n = y.length, batches = inTraining && norm === "batch";
      if (batches) enough(Math.min(n, batchSize));
      let loss = 0, right = 0;
      for (let start = 0, count = 0; start < n; start += count) {
        count = Math.min(batches ? batchSize : CHUNK, n - start);
        if (batches && n - start < 2 * batchSize) count = n - start;
        const logits = quietly(x, start, count, batches ? "batch" : "running");
        loss += summedLoss(logits, y, start, count);
        for (let r = 0; r < count; r++) if (logits[r] > 0 === y[start + r] > 0.5) right++;
      }
      return { loss: loss / n, accuracy: right / n };
    }

    /**
     * Write the probability of class 1 at the centres of grid x grid cells, from the top left row by row.
     * @param {number} grid @param {boolean} inTraining with the statistics of the last batch, else the running ones
     * @param {Float32Array} field [grid * grid] @param {number} [reach] the square is [-reach, reach]^2
     */
    function paint(grid, inTraining, field, reach = 1.5) {
      const cell = 2 * reach / grid, cells = grid * grid;
      for (let start = 0; start < cells; start += CHUNK) {
        const count = Math.min(CHUNK, cells - start);
        for (let i = 0; i < count; i++) {
          const at = start + i, row = Math.floor(at / grid);
          other.input[2 * i] = (at - row * grid + 0.5) * cell - reach;
          other.input[2 * i + 1] = reach - (row + 0.5) * cell;
        }
        pass(other, count, inTraining ? "last" : "running", false);
        for (let i = 0; i < count; i++) field[start + i] = 1 / (1 + Math.exp(-other.logits[i]));
      }
    }

    const length = (/** @type {Float64Array} */ a) => Math.sqrt(a.reduce((sum, v) => sum + v * v, 0));

    /**
     * Return what each hidden layer shows after the last step. The arrays are views, to be read at once.
     * @returns {Layer[]}
     */
    function layers() {
      const n = training.count;
      return hidden.map((layer, k) => {
        const values = training.layers[k], { width } = layer;
        // Where no batch is normalized, the statistics are those at the same place.
        const { mean, variance } = values, place = first || norm === "none" ? values.linear : values.middle;
        if (norm !== "batch") columnStatistics(place, mean, variance, n, width);
        return {
          width, count: n, activations: values.output.subarray(0, n * width),
          batchMean: mean, batchVar: variance,
          runningMean: norm === "batch" ? layer.running.mean : null,
          runningVar: norm === "batch" ? layer.running.variance : null,
          gradientNorm: length(layer.dWeight), weightNorm: length(layer.weight),
        };
      });
    }

    /** Tell whether all parameters are numbers still. */
    function finite() {
      let sum = 0;
      for (let i = 0; i < total; i++) sum += values[i] * 0;
      return sum === 0;
    }

    /** Name everything that a step changes. @returns {Record<string, Float64Array>} */
    function everything() {
      /** @type {Record<string, Float64Array>} */
      const all = { ...parameters };
      if (norm === "batch")
        running.forEach(({ mean, variance }, k) => {
          all[`hidden.${k}.norm.running_mean`] = mean;
          all[`hidden.${k}.norm.running_var`] = variance;
        });
      for (const name in parameters) {
        if (settings.optimizer !== "sgd") all[`optimizer.first.${name}`] = firstMoments[name];
        if (settings.optimizer === "adam") all[`optimizer.second.${name}`] = secondMoments[name];
      }
      return all;
    }

    /** Return a copy of all that a step changes, by name. */
    function state() {
      /** @type {Record<string, number[]>} */
      const copy = { steps: [steps] };
      for (const [name, array] of Object.entries(everything())) copy[name] = Array.from(array);
      return copy;
    }

    /** Set what `saved` names; the rest stays. @param {State} saved */
    function load(saved) {
      const all = everything();
      for (const [name, array] of Object.entries(saved)) {
        if (name === "steps") {
          steps = array[0];
          continue;
        }
        if (!(name in all)) throw new RangeError(`${name} is unknown: the names are ${Object.keys(all).join(", ")}`);
        if (array.length !== all[name].length)
          throw new RangeError(`${name} has ${array.length} numbers: give ${all[name].length}`);
        all[name].set(array);
      }
    }

    return {
      settings, parameters, gradients, step, look, forward, evaluate, field: paint, layers, finite, state, load,
      get steps() {
        return steps;
      },
    };
  }

  return { NORMS, PLACES, ACTIVATIONS, OPTIMIZERS, LIMITS, DEFAULTS, check, create, product };
}

const Network = makeNetwork(Data);
