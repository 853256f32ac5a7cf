// Load the laboratory's classic scripts, as a page does.
import { readFileSync } from "node:fs";

const FOLDER = new URL("../../_static/laboratory/", import.meta.url);
export const ENGINE = ["data.js", "network.js", "runner.js"];

/**
 * Run scripts in a function of their own and return their globals.
 * @param {string[]} [files]
 * @param {Record<string, unknown>} [world] globals that they find beside those of node, a Worker for example
 */
export function load(files = [...ENGINE, "presets.js"], world = {}) {
  const source = files.map((name) => readFileSync(new URL(name, FOLDER), "utf8")).join("\n");
  const names = ["Data", "Network", "Runner", "PRESETS"];
  const given = names.map((name) => `${name}: typeof ${name} === "undefined" ? undefined : ${name}`);
  return new Function(...Object.keys(world), `${source}\nreturn { ${given.join(", ")} };`)(...Object.values(world));
}
