"""The step of nbgrader that executes a submission, made safe for code that nobody has read."""

import ast
import json
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

from nbclient.client import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_output
from nbgrader import preprocessors
from nbgrader.utils import is_grade, is_locked
from traitlets import Any, Bool, Enum, Instance

from classroom import integrity
from classroom.sandbox import Limits, SandboxedKernelManager, Watch

IMPORT_SECONDS = 120  # what torch may take on a busy machine
PATIENCE = 5  # seconds that a cell has however many have run out of time before it

# Cells of the grader. They leave no name behind, and show nothing, so that no display hook matters.
PREPARE = """
exec('''
import builtins, sys, types
module = sys.modules["_grading"] = types.ModuleType("_grading")
module.__builtins__ = dict(vars(builtins))  # its own, whatever becomes of those of Python
exec(SOURCE, vars(module))
module.remember(MODULES)
''', {{"SOURCE": {!r}, "MODULES": {!r}}})
"""
TEST = "__import__('_grading').report({!r}, {!r})"


class Execute(preprocessors.Execute):
    """Execute student code in the sandbox, and tests with Python as it was before: `integrity`.

    A cell that ends its kernel, or never ends, loses its own points alone: the student's cells
    before it run again in a new kernel, and those after it follow.
    """

    limits = Instance(Limits, (), help="What a submission may use.").tag(config=True)
    package = Any(help="The folder with the parts of normlab that come along.").tag(config=True)
    interrupt_on_timeout = Bool(False)  # a kernel that hangs is not asked again
    shutdown_kernel = Enum(["immediate"], default_value="immediate")

    def __init__(self, **options) -> None:
        super().__init__(**options, kernel_manager_class=SandboxedKernelManager)

    def preprocess(self, nb: NotebookNode, resources: dict, km=None) -> tuple[NotebookNode, dict]:
        NotebookClient.__init__(self, nb, km)
        self.reset_execution_trackers()
        self._check_assign_resources(resources)
        deadline = time.monotonic() + self.limits.notebook_seconds
        waiting = [index for index, cell in enumerate(nb.cells) if cell.cell_type == "code"]
        survived: list[int] = []
        self.timeouts = 0
        while waiting and time.monotonic() < deadline:
            self.run(waiting, survived, deadline)
        for index in waiting:
            reason = f"the notebook took more than {self.limits.notebook_seconds} seconds"
            nb.cells[index].outputs = [failure("NotExecuted", reason)]
        return nb, self.resources

    def create_kernel_manager(self) -> SandboxedKernelManager:
        manager = super().create_kernel_manager()
        manager.limits, manager.package = self.limits, self.package
        return manager

    def run(self, waiting: list[int], survived: list[int], deadline: float) -> None:
        """Execute the cells that wait in a new kernel, until none is left or the kernel is lost."""
        with self.setup_kernel(), Watch(self.km, deadline) as watch:
            try:
                self.prepare_kernel()
                for index in survived:
                    self.send(self.nb.cells[index].source, index)
                while waiting:
                    cell = self.nb.cells[waiting[0]]
                    if is_grade(cell):
                        cell.outputs = self.test(cell, waiting[0])
                    else:
                        self.execute_cell(cell, waiting[0])
                        survived.append(waiting[0])
                    waiting.pop(0)
            except (CellTimeoutError, DeadKernelError) as error:
                late = isinstance(error, CellTimeoutError)
                self.timeouts += late
                reason = watch.reason or (
                    f"it took more than {self.timeout} seconds" if late else "it ended Python"
                )
                self.nb.cells[waiting.pop(0)].outputs = [failure("Stopped", reason)]

    def prepare_kernel(self) -> None:
        """Import what the tests import, and let the kernel note what it means."""
        cells = [cell for cell in self.nb.cells if cell.cell_type == "code" and is_locked(cell)]
        modules = sorted({name for cell in cells for name in imported(cell.source)})
        self.timeout = IMPORT_SECONDS
        for name in modules:
            self.send(f"import {name}")
        self.send(PREPARE.format(Path(integrity.__file__).read_text(encoding="utf-8"), modules))
        # Many tests may call one function that never ends: the patience for it becomes less.
        seconds = self.limits.cell_seconds
        self.timeout = min(seconds, max(PATIENCE, seconds // (1 + self.timeouts)))

    def test(self, cell: NotebookNode, index: int) -> list[NotebookNode]:
        """Execute a test; return its output, which ends with an error unless it has passed."""
        token = secrets.token_hex(16)
        outputs = self.send(TEST.format(cell.source, token), index).outputs
        printed = [output for output in outputs if output.output_type == "stream"]
        parts = self.reply["content"].get("payload", [])
        answers = [json.loads(part["answer"]) for part in parts if part.get("source") == token]
        if not answers:
            return [*printed, failure("NoAnswer", "the notebook keeps the kernel from answering")]
        (answer,) = answers
        remarks = [new_output("display_data", {"text/plain": r}) for r in answer["remarks"]]
        if names := answer["replaced"]:
            reason = f"the notebook replaced {names} during the test"
            return [*remarks, failure("Tampering", reason)]
        if answer["passed"]:
            return [*remarks, *(output for output in printed if output.name == "stdout")]
        line = source_line(cell.source, answer["line"])
        return [*remarks, *printed, failure(answer["name"], answer["value"], line)]

    def send(self, source: str, index: int = 0) -> NotebookNode:
        """Execute code that is not a cell of the notebook; return it as a cell with its output."""
        kept, cell = self.nb.cells[index], new_code_cell(source)
        try:
            return self.execute_cell(cell, index, store_history=False)
        finally:
            self.nb.cells[index] = kept

    def on_cell_executed(self, **event) -> None:
        self.reply = event["execute_reply"]
        super().on_cell_executed(**event)

    def output(self, outs: list[NotebookNode], msg: dict, display_id, cell_index: int):
        """Take an output of a cell, until there are too many characters of them."""
        if sum(len(str(output)) for output in outs) < self.limits.output:
            return super().output(outs, msg, display_id, cell_index)
        return None


def failure(name: str, value: str, line: str = "") -> NotebookNode:
    """Return the output of a cell that has failed."""
    traceback = [*([line] if line else []), f"{name}: {value}"]
    return new_output("error", ename=name, evalue=value, traceback=traceback)


def source_line(source: str, number: int) -> str:
    """Return a line of a test if students have it in their notebook; else the empty string."""
    lines = source.splitlines()
    before = "\n".join(lines[:number])
    hidden = before.count("BEGIN HIDDEN TESTS") > before.count("END HIDDEN TESTS")
    return "" if hidden or not 0 < number <= len(lines) else lines[number - 1].strip()


def imported(code: str) -> Iterator[str]:
    """Yield the modules that a piece of code imports, and what their comparisons are made of."""
    for node in ast.walk(ast.parse(code)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
        for name in names:
            yield name
            yield from integrity.INSIDE.get(name.split(".")[0], ())
