"""Run a test as if nothing of the notebook had changed Python and its libraries.

Student code and tests share a process, and student code may change what tests rely on: a setting,
which is its right, or the meaning of `torch.allclose`. Neither is a fault, and neither makes a
difference: a test runs in a thread and in names of its own, with the settings and the functions
from before the first line of the submission. Afterwards the notebook finds its own again.

What changes during a test is another matter. A library may change itself (torch does, at the first
optimizer). Where code of the notebook takes the place of something, the test has failed. Where
nobody can tell, the test counts, and a remark asks the instructor to look.

This stops shortcuts. It is no proof against somebody who studies this file: in one process there is
none. The sandbox does not rest on it. The text of the file is executed in the kernel, where there
is no package `classroom`.
"""

import builtins
import json
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

# Modules whose functions are made of other modules.
INSIDE = {
    "torch": ("torch", "torch.nn", "torch.nn.functional", "torch.testing._comparison"),
    "numpy": ("numpy", "numpy.testing._private.utils"),
}
HOOKS = ("torch.nn.modules.module", "torch.optim.optimizer")  # where torch keeps hooks for all
NOTEBOOK = "__main__"
ABSENT = object()


class Name(NamedTuple):
    """A name in the dict of a module or in a class, and what it meant at first.

    The code of a function is such a name, too: it can be replaced.
    """

    text: str
    owner: dict[str, Any] | type | FunctionType
    key: str
    first: object


class Setting(NamedTuple):
    """A setting of the whole process, and what it is for a test."""

    get: Callable[[], Any]
    set: Callable[[Any], object]
    value: object


NAMES: dict[tuple[int, str], Name] = {}  # by owner and key: a class can be met more than once
SETTINGS: list[Setting] = []  # those of torch, if there is torch; its default dtype comes first
FILTERS = list(warnings.filters)
REPORTED: set[str] = set()  # one remark for each name, not one for each test


def remember(modules: Iterable[str]) -> None:
    """Note what the names in imported modules and in their classes mean."""
    for module in ["builtins", *modules]:
        names = vars(sys.modules[module])
        note(module, sys.modules, module, sys.modules[module])
        # A new name is no change unless it hides one: of Python, or of the base of a class.
        for key in {*names, *dir(builtins)}:
            value = names.get(key, ABSENT)
            if value is ABSENT or callable(value) or isinstance(value, ModuleType):
                note(f"{module}.{key}", names, key, value)
            if isinstance(value, type) and str(value.__module__).startswith(module):
                for method in dir(value):
                    part = vars(value).get(method, ABSENT)
                    if part is ABSENT or callable(part) or hasattr(part, "__get__"):
                        note(f"{module}.{key}.{method}", value, method, part)
    if torch := sys.modules.get("torch"):
        SETTINGS.extend(settings_of(torch))


def note(text: str, owner: dict[str, Any] | type | FunctionType, key: str, value: object) -> None:
    NAMES.setdefault((id(owner), key), Name(text, owner, key, value))
    if isinstance(value, FunctionType):
        note(text, value, "__code__", value.__code__)


def settings_of(torch: Any) -> Iterator[Setting]:
    """Yield what changes results, or makes errors, in every thread."""
    yield Setting(torch.get_default_dtype, torch.set_default_dtype, torch.float32)
    yield Setting(torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode, 0)
    yield Setting(
        lambda: (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()),
        lambda now: torch.autograd.set_detect_anomaly(*now),
        (False, True),
    )
    library = torch.backends.mkldnn
    if hasattr(library, "matmul"):
        for part in (library.matmul, library.conv):
            get = partial(getattr, part, "fp32_precision")
            yield Setting(get, partial(setattr, part, "fp32_precision"), "ieee")
    else:  # torch before 2.9
        get, set_ = torch.get_float32_matmul_precision, torch.set_float32_matmul_precision
        yield Setting(get, set_, "highest")
    for module in HOOKS:
        for key, hooks in vars(sys.modules[module]).items():
            if key.startswith("_global_") and isinstance(hooks, dict):
                yield Setting(hooks.copy, partial(refill, hooks), {})


def refill(hooks: dict, now: dict) -> None:
    hooks.clear()
    hooks.update(now)


def look(name: Name) -> object:
    """Return what a name means now."""
    if isinstance(name.owner, FunctionType):
        return name.owner.__code__
    names = name.owner if isinstance(name.owner, dict) else vars(name.owner)
    return names.get(name.key, ABSENT)


def put(name: Name, value: object) -> None:
    """Let a name mean something."""
    inside = isinstance(name.owner, dict)
    write, delete = (dict.__setitem__, dict.pop) if inside else (setattr, delattr)
    delete(name.owner, name.key) if value is ABSENT else write(name.owner, name.key, value)


def changed() -> list[tuple[Name, object]]:
    """Return the names that do not mean what they did, with what they mean now."""
    return [(name, now) for name in NAMES.values() if (now := look(name)) is not name.first]


@contextmanager
def as_before() -> Iterator[list[tuple[Name, object]]]:
    """Have names and settings as they were; then those of the notebook again."""
    theirs = changed()
    with warnings.catch_warnings(), ExitStack() as after:
        warnings.filters[:] = FILTERS
        for name, now in theirs:
            put(name, name.first)
            after.callback(put, name, now)
        for get, set_, value in SETTINGS:
            if (now := get()) != value:
                set_(value)
                after.callback(set_, now)
        yield theirs


def test(source: str) -> dict[str, Any]:
    """Execute the code of a test and return what came of it."""
    dtype = SETTINGS[0].get() if SETTINGS else None
    remarks = []
    with as_before() as theirs:
        answer = attempt(source)
        if not answer["passed"] and dtype != (SETTINGS[0].value if SETTINGS else None):
            # A cell before the test may have made its data with the dtype of the notebook.
            SETTINGS[0].set(dtype)
            if (second := attempt(source))["passed"]:
                answer = second
                remarks.append(f"please look at a test that passes with {dtype} as default alone")
        during = [(name.text, maker(now)) for name, now in changed()]
    own = {name.text for name, now in theirs if maker(now) == NOTEBOOK}
    doubtful = {text for text, by in during if by not in (NOTEBOOK, text.split(".")[0])}
    doubtful |= {"a trace or profile"} if answer["traced"] else set()
    doubtful |= {"a thread of the notebook"} if beside() else set()
    for said, found in (
        ("tested with the original, not with the notebook's own", own),
        ("please look at what changes the process during the test", doubtful),
    ):
        remarks += [f"{said}: {some(new)}"] if (new := found - REPORTED) else []
        REPORTED.update(found)
    replaced = {text for text, by in during if by == NOTEBOOK}
    return answer | {"replaced": some(replaced), "remarks": remarks}


def attempt(source: str) -> dict[str, Any]:
    """Execute a test in a thread, where what is a thread's own begins anew.

    These are modes of torch, gradients, errors of numpy, traces.
    """
    answer = {"passed": False, "traced": False}
    thread = threading.Thread(target=run, args=(source, names_for_a_test(), answer))
    thread.start()
    thread.join()
    return answer


def run(source: str, names: dict[str, Any], answer: dict[str, Any]) -> None:
    """Execute a test in the names that it may use, and note what came of it."""
    sys.settrace(None)
    sys.setprofile(None)
    try:
        exec(compile(source, "<tests>", "exec"), names)
        answer["passed"] = True
    except BaseException as error:
        line, step = 0, error.__traceback__
        while step:
            line = step.tb_lineno if step.tb_frame.f_code.co_filename == "<tests>" else line
            step = step.tb_next
        answer |= {"name": type(error).__name__, "value": str(error)[:2000], "line": line}
    answer["traced"] = bool(sys.gettrace() or sys.getprofile())


def names_for_a_test() -> dict[str, Any]:
    """Return the names of the notebook; those of Python and of modules mean what they should."""
    names: dict[str, Any] = {"__builtins__": builtins}
    for key, value in list(vars(sys.modules[NOTEBOOK]).items()):
        if isinstance(value, ModuleType):
            value = sys.modules.get(value.__name__, ABSENT)
        if value is not ABSENT and not hasattr(builtins, key):
            names[key] = value
    return names


def maker(value: object) -> str:
    """Return the package that a value comes from: NOTEBOOK, if it was defined in a cell."""
    for inner in ("__func__", "fget", "func"):  # of a method, a property, functools.partial
        value = getattr(value, inner, value)
    code = value if isinstance(value, CodeType) else getattr(value, "__code__", None)
    if "ipykernel_" in getattr(code, "co_filename", ""):
        return NOTEBOOK
    return str(getattr(value, "__module__", "")).split(".")[0]


def beside() -> bool:
    """Return whether another thread executes code of the notebook."""
    for thread, frame in sys._current_frames().items():
        while frame and thread != threading.get_ident():
            if "ipykernel_" in frame.f_code.co_filename:
                return True
            frame = frame.f_back
    return False


def some(names: Iterable[str]) -> str:
    """Return a few names as text; the empty string for none."""
    names = sorted(names)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def report(source: str, token: str) -> None:
    """Execute a test, and add what came of it to the reply of the kernel.

    Args:
        source: the code of the test.
        token: what the answer is known by; nobody can know it before.
    """
    from IPython import get_ipython

    answer = json.dumps(test(source))
    get_ipython().payload_manager.write_payload({"source": token, "answer": answer})
