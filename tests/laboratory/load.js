// Load the laboratory's classic scripts, as a page does, into a context of their own.
import { readFileSync } from "node:fs";
import { createContext, runInContext } from "node:vm";

const FOLDER = new URL("../../_static/laboratory/", import.meta.url);
export const ENGINE = ["data.js", "network.js", "runner.js"];

/**
 * Run scripts and return some of their globals.
 * @param {string[]} [files]
 * @param {Record<string, unknown>} [world] what the scripts find: of a browser they get nothing else
 */
export function load(files = [...ENGINE, "presets.js"], world = {}) {
  const context = createContext({ performance, Float64Array, Float32Array, Array, Object, RangeError, ...world });
  const source = files.map((name) => readFileSync(new URL(name, FOLDER), "utf8")).join("\n");
  const names = ["Data", "Network", "Runner", "PRESETS", "makeData", "makeNetwork", "makeRunner"];
  const given = names.map((name) => `${name}: typeof ${name} === "undefined" ? undefined : ${name}`);
  return runInContext(`${source}\n;({ ${given.join(", ")} })`, context);
}
