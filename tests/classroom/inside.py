"""Run tests as a kernel does, without one: a process of its own for each, made in no time.

Reads a list of [code of the notebook, test, what holds in the notebook afterwards] as JSON, and
adds to the file that is named a line for each: what `integrity.test` answers, and what is lost.
"""

import gc
import importlib
import json
import os
import sys
import traceback

from classroom import integrity

MODULES = [*integrity.INSIDE["torch"], *integrity.INSIDE["numpy"], "math", "sys", "warnings"]
MODULES += ["torch.nn.modules.batchnorm"]


def answer(notebook: str, test: str, afterwards: str) -> dict:
    names = vars(sys.modules["__main__"])
    exec(compile(notebook, "/tmp/ipykernel_1/cell.py", "exec"), names)
    found = integrity.test(test)
    return found | ({} if eval(afterwards or "True", names) else {"lost": afterwards})


def main() -> None:
    for name in MODULES:
        importlib.import_module(name)
    integrity.remember(MODULES)
    gc.freeze()  # what all processes share stays shared
    for case in json.load(sys.stdin):
        if not (child := os.fork()):
            try:
                found = answer(*case)
            except BaseException:
                found = {"broken": traceback.format_exc()}
            with open(sys.argv[1], "a") as file:
                file.write(json.dumps(found) + "\n")
            os._exit(0)
        os.waitpid(child, 0)


main()
