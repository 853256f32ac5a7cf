"""How many frames a second, and how many steps a frame, does the laboratory reach in Chromium?

python benchmarks/laboratory.py

Both sides have 64 and 32 hidden units and batches of 64, one of them BN. Each frame draws both
fields, 32 x 32, and asks for the next 20 steps; the answer is drawn in the first frame after it.
The last column is the longest time for which the page itself could not answer. It depends on the
machine, and on what else it does.
"""

import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

FOLDER = Path(__file__).resolve().parents[1] / "_static" / "laboratory"
SECONDS = 4
MEASURE = """async ({ workers, steps, seconds, optimizer }) => {
  const side = { widths: [64, 32], batchSize: 64, optimizer, rate: 0.01 };
  const link = Runner.connect({ workers }), canvas = document.querySelector("canvas");
  const context = canvas.getContext("2d"), image = context.createImageData(32, 32);
  let answer, frames = 0, drawn = 0, taken = 0, trained = 0, rest = 0, blocked = 0;
  link.onmessage = ({ data }) => { answer = data; };
  link.postMessage({ type: "start", shared: {}, left: { ...side, norm: "batch" }, right: side,
    mode: "eval", grid: 32 });
  const next = () => new Promise(requestAnimationFrame);
  const draw = (field, x) => {
    for (let i = 0; i < 1024; i++) {
      image.data[4 * i] = 255 * field[i];
      image.data[4 * i + 3] = 255;
    }
    context.putImageData(image, x, 0);
  };
  const warm = performance.now() + 1000, end = warm + 1000 * seconds;
  for (let before = performance.now(), now = before; now < end; before = now) {
    await next();
    now = performance.now();
    if (now > warm) { frames++; blocked = Math.max(blocked, now - before); }
    if (!answer) continue;
    if (now > warm && answer.asked) {
      drawn++; taken += answer.asked; trained += answer.trained; rest += answer.drawn;
    }
    draw(answer.fields.left, 0);
    draw(answer.fields.right, 40);
    answer = undefined;
    link.postMessage({ type: "step", steps, mode: "eval", grid: 32 });
  }
  link.terminate();
  return [frames / seconds, drawn / seconds, taken / drawn, trained / drawn, rest / drawn, blocked];
}"""


def main() -> None:
    scripts = "".join(
        f"<script>{(FOLDER / name).read_text(encoding='utf-8')}</script>"
        for name in ("data.js", "network.js", "runner.js")
    )
    print(
        "where    optimizer  frames/s  pictures/s  steps each  ms for them  for the rest  longest"
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("chromium-browser"),
            args=["--no-sandbox"],
        )
        for workers in (True, False):
            for optimizer in ("sgd", "adam"):
                page = browser.new_page()
                page.set_content(f"<!doctype html><canvas width=80 height=32></canvas>{scripts}")
                options = {"workers": workers, "optimizer": optimizer, "seconds": SECONDS}
                found = page.evaluate(MEASURE, options | {"steps": 20})
                where = "workers" if workers else "page"
                print(f"{where:8} {optimizer:9}", "".join(f"{value:11.1f}" for value in found))
                page.close()
        browser.close()


if __name__ == "__main__":
    main()
