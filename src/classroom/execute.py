"""The step of nbgrader that executes a submission, made safe for code that nobody has read."""

import ast
import time
from collections.abc import Iterator

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


class Execute(preprocessors.Execute):
    """Execute student code in the sandbox; believe a test only if nobody tampered with it.

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
                self.trust_kernel()
                for index in survived:
                    self.send(self.nb.cells[index].source, index)
                while waiting:
                    cell = self.nb.cells[waiting[0]]
                    if is_grade(cell):
                        cell.outputs = self.test(cell, waiting[0])
                    else:
                        self.execute_cell(cell, waiting[0])
                        survived.append(waiting[0])
                        self.intact = False
                    waiting.pop(0)
            except (CellTimeoutError, DeadKernelError) as error:
                late = isinstance(error, CellTimeoutError)
                self.timeouts += late
                reason = watch.reason or (
                    f"it took more than {self.timeout} seconds" if late else "it ended Python"
                )
                self.nb.cells[waiting.pop(0)].outputs = [failure("Stopped", reason)]

    def trust_kernel(self) -> None:
        """Import what the tests import and note what it looks like before student code runs."""
        cells = [cell for cell in self.nb.cells if cell.cell_type == "code" and is_locked(cell)]
        self.modules = sorted({name for cell in cells for name in imported(cell.source)})
        self.timeout = IMPORT_SECONDS
        for name in self.modules:
            self.send(f"import {name}")
        self.genuine, self.digest = self.fingerprint(complete=True), self.fingerprint()
        self.intact = False  # whether nothing of the student has run since the last look
        # Many tests may call one function that never ends: the patience for it becomes less.
        seconds = self.limits.cell_seconds
        self.timeout = min(seconds, max(PATIENCE, seconds // (1 + self.timeouts)))

    def fingerprint(self, complete: bool = False) -> dict[str, object]:
        options = {"MODULES": self.modules, "CHANGING": integrity.CHANGING, "ALL": complete}
        return self.ask(integrity.FINGERPRINT, **options)

    def replaced(self) -> list[str]:
        """Return what the tests rely on and no longer finds itself as it was."""
        if (digest := self.fingerprint()) == self.digest:
            return []
        found = integrity.replaced(self.genuine, self.fingerprint(complete=True))
        if not found:  # only new names
            self.digest = digest
        return found

    def test(self, cell: NotebookNode, index: int) -> list[NotebookNode]:
        """Execute a test; return its output, which ends with an error unless it has passed."""
        token = integrity.token()
        before = [] if self.intact else self.replaced()
        answer = self.ask(integrity.RUN, index, SOURCE=cell.source, TOKEN=token)
        printed = [output for output in self.outputs if output.output_type == "stream"]
        if changed := before or self.replaced():
            self.intact = False
            return [failure("Tampering", integrity.explanation(changed))]
        self.intact = True
        if answer.get("passed") == token:
            return [output for output in printed if output.name == "stdout"]
        name, value = answer.get("name", "NoAnswer"), answer.get("value", "")
        return [*printed, failure(name, value, source_line(cell.source, answer.get("line", 0)))]

    def ask(self, code: str, index: int = 0, **values: object) -> dict[str, object]:
        """Execute one of the pieces of code of `integrity` and return what it found."""
        execute = self.kc.execute

        def with_answer(*args, **options):
            return execute(*args, **options, user_expressions={"answer": integrity.ANSWER})

        self.kc.execute = with_answer
        try:
            self.outputs = self.send(integrity.request(code, **values), index).outputs
        finally:
            self.kc.execute = execute
        answer = self.reply["content"].get("user_expressions", {}).get("answer", {})
        return integrity.decode(answer["data"]["text/plain"]) if answer.get("data") else {}

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
