"""Whether a test of a submission can be believed.

Student code and tests share a Python process, so student code could replace what the tests rely on:
`torch.allclose`, the way in which IPython runs a cell, a built-in function. Before and after each
test the grader therefore asks the kernel for a fingerprint of these and compares it, outside, with
the one from before the first line of the submission. A test runs in a namespace of its own, where
the names of Python and of modules mean what they should.

This stops shortcuts. It is no proof against somebody who studies this file: in one process there is
none. The sandbox does not rest on it.
"""

import ast
import json
import secrets
from collections.abc import Iterable

# Modules whose functions are made of other modules.
INSIDE = {
    "torch": ("torch", "torch.nn", "torch.nn.functional", "torch.testing._comparison"),
    "numpy": ("numpy", "numpy.testing._private.utils"),
}

# What changes by itself: the kernel replaces `input` for each cell, and torch wraps `manual_seed`
# when the first optimizer is made.
CHANGING = ["builtins.input", "torch.manual_seed", "torch.random.manual_seed", "sys.excepthook"]

# Both run in the kernel, in a namespace that student code does not see.
FINGERPRINT = """
import builtins, hashlib, json, sys, types
from IPython import get_ipython

def of(value):
    code = getattr(value, "__code__", None)
    return id(value) if code is None else (id(value), id(code))

found = {}
for name in ["builtins", *MODULES]:
    module = sys.modules.get(name)
    found[name] = id(module)
    for key, value in list(vars(module).items()) if module else ():
        if callable(value):
            found[f"{name}.{key}"] = of(value)
        old = key.endswith("Tensor") and key != "Tensor"  # ten names of torch from before 0.4
        if isinstance(value, type) and str(value.__module__).startswith(name) and not old:
            for method, function in list(vars(value).items()):
                if callable(function):
                    found[f"{name}.{key}.{method}"] = of(function)

shell = get_ipython()
for key in ("custom_exceptions", "CustomTB"):
    found["IPython: " + key] = str(getattr(shell, key, None))
for key, value in list(vars(shell).items()) + list(vars(shell.kernel).items()):
    if callable(value):
        found["IPython: " + key] = of(value)
for key, value in list(vars(type(shell)).items()):
    if isinstance(value, types.FunctionType):
        found["IPython: " + key] = of(value)
transformers = shell.input_transformer_manager
found["IPython: transformers"] = [
    len(part) for part in (
        shell.ast_transformers, transformers.cleanup_transforms,
        transformers.line_transforms, transformers.token_transformers,
    )
]
for name in CHANGING:
    found.pop(name, None)
found["sys.settrace"] = [id(sys.gettrace()), id(sys.getprofile())]
found["__builtins__"] = id(shell.user_ns.get("__builtins__"))
if "torch" in sys.modules:
    from torch import _C
    modes = [_C._len_torch_function_stack(), _C._len_torch_dispatch_stack()]
    found["torch: modes"] = modes
running = [frame for thread, frame in sys._current_frames().items()
           if thread != __import__("threading").get_ident()]
for frame in running:
    while frame:
        if "ipykernel_" in frame.f_code.co_filename:
            found["a thread of the notebook"] = "running"
        frame = frame.f_back
"""

RUN = """
import builtins, sys, types
from IPython import get_ipython

names = get_ipython().user_ns
tests = {
    key: value for key, value in names.items()
    if not hasattr(builtins, key) and not isinstance(value, types.ModuleType)
}
tests.update({
    key: sys.modules[value.__name__] for key, value in names.items()
    if isinstance(value, types.ModuleType) and value.__name__ in sys.modules
})
tests["__builtins__"] = builtins
try:
    exec(compile(SOURCE, "<tests>", "exec"), tests)
    found = {"passed": TOKEN}
except BaseException as error:
    line, step = 0, error.__traceback__
    while step:
        line = step.tb_lineno if step.tb_frame.f_code.co_filename == "<tests>" else line
        step = step.tb_next
    found = {"name": type(error).__name__, "value": str(error)[:2000], "line": line}
"""

# What a kernel is asked to execute: the built-in functions are those of Python, whatever the
# notebook calls by their names.
_REQUEST = """
import builtins as _python
_python.exec({code!r}, _grading := {{"__builtins__": _python, **_python.eval({values!r})}})
"""
ANSWER = "__import__('json').dumps(_grading.pop('found'))"


def request(code: str, **values: object) -> str:
    """Return a cell that executes one of the two pieces of code above with some values."""
    return _REQUEST.format(code=code, values=repr(values))


def token() -> str:
    """Return what a test answers when it passes; nobody can know it before."""
    return secrets.token_hex(16)


def replaced(before: dict[str, object], now: dict[str, object]) -> list[str]:
    """Return the names that no longer mean what they did; new names may be added."""
    lost = [name for name in before if now.get(name) != before[name]]
    return sorted(lost + [name for name in now if name.startswith("a thread")])


def explanation(names: Iterable[str]) -> str:
    """Return a sentence about replaced names for the report and the student."""
    names = list(names)
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"the notebook replaces what the tests rely on: {', '.join(names[:3])}{more}"


def decode(text: str) -> dict[str, object]:
    """Read the answer of a kernel: the repr of a str that holds JSON."""
    return json.loads(ast.literal_eval(text))
