"""What a notebook may set and replace: it costs no points, and it brings none."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

INSIDE = Path(__file__).with_name("inside.py")

# Right in a fresh process; false or an error under the settings below.
EXAM = """
import torch, numpy, warnings
assert torch.tensor(1.0).dtype == torch.float32
assert torch.zeros(1).device.type == "cpu"
assert not torch.are_deterministic_algorithms_enabled() and not torch.is_anomaly_enabled()
warnings.warn("no error")
numpy.float64(1) / 0
x = torch.arange(12.0).reshape(6, 2)
layer = torch.nn.BatchNorm1d(2)
y = layer(x)
x_hat = (x - x.mean(0)) / (x.var(0, correction=0) + layer.eps).sqrt()
assert torch.allclose(y, x_hat, atol=1e-5)
(y * x).sum().backward()
assert (x @ x.T).dtype == layer.weight.grad.dtype == torch.float32
"""
MODE = """
from torch.overrides import TorchFunctionMode
class Mode(TorchFunctionMode):
    def __torch_function__(self, function, types, args=(), kwargs=None):
        return function(*args, **(kwargs or {}))
Mode().__enter__()"""
RAISES = "def hook(*args): raise ValueError(args)\n"

# What a notebook does, and what holds in it afterwards.
SETTINGS = {
    "default dtype": (
        "torch.set_default_dtype(torch.float64)",
        "torch.get_default_dtype() == torch.float64 and torch.ones(1).dtype == torch.float64",
    ),
    "default tensor type": (
        "torch.set_default_tensor_type(torch.DoubleTensor)",
        "torch.Storage is torch.DoubleStorage",
    ),
    "default device": ("torch.set_default_device('cpu')", "torch._C._len_torch_function_stack()"),
    "another default device": (
        "torch.set_default_device('meta')",
        "torch.ones(1).device.type == 'meta'",
    ),
    "a device entered": ("torch.device('meta').__enter__()", "torch.ones(1).is_meta"),
    "a mode entered": (MODE, "torch._C._len_torch_function_stack() == 1"),
    "no gradients": ("torch.set_grad_enabled(False)", "not torch.is_grad_enabled()"),
    "inference": (
        "inside = torch.inference_mode()\ninside.__enter__()",
        "torch.is_inference_mode_enabled()",
    ),
    "autocast": (
        "torch.autocast('cpu', torch.bfloat16).__enter__()",
        "torch.is_autocast_enabled('cpu')",
    ),
    "determinism": (
        "torch.set_deterministic_debug_mode('error')",
        "torch.get_deterministic_debug_mode() == 2",
    ),
    "anomalies": (
        "torch.autograd.set_detect_anomaly(True, check_nan=False)",
        "torch.is_anomaly_enabled() and not torch.is_anomaly_check_nan_enabled()",
    ),
    "rough products": (
        "torch.set_float32_matmul_precision('medium')",
        "torch.get_float32_matmul_precision() == 'medium'",
    ),
    "rough products, as torch 2.9 says it": (
        "product = getattr(torch.backends.mkldnn, 'matmul', torch)\n"
        "product.fp32_precision = 'bf16'",
        "product.fp32_precision == 'bf16'",
    ),
    "rough products everywhere": ("torch.backends.fp32_precision = 'tf32'", ""),
    "backends": (
        "torch.backends.mkldnn.enabled = False\ntorch.backends.cudnn.deterministic = True\n"
        "torch.backends.cudnn.benchmark = True\ntorch.backends.cuda.matmul.allow_tf32 = True",
        "not torch.backends.mkldnn.enabled",
    ),
    "threads": ("torch.set_num_threads(2)", "torch.get_num_threads() == 2"),
    "small numbers": ("torch.set_flush_denormal(True)", ""),
    "printing": ("torch.set_printoptions(precision=2, sci_mode=False)", ""),
    "seeds": ("import random\nrandom.seed(0)\nnp.random.seed(0)\ntorch.manual_seed(0)", ""),
    "a hook for all modules": (
        f"{RAISES}torch.nn.modules.module.register_module_forward_hook(hook)\n"
        "torch.nn.modules.module.register_module_forward_pre_hook(hook)\n"
        "torch.nn.modules.module.register_module_parameter_registration_hook(hook)",
        "len(torch.nn.modules.module._global_forward_hooks) == 1",
    ),
    "a hook backward": (
        "seen = []\nregister = torch.nn.modules.module.register_module_full_backward_hook\n"
        "register(lambda *args: seen.append(args))",
        "not seen",
    ),
    "hooks for what is saved": (
        "torch.autograd.graph.saved_tensors_hooks(lambda x: x * 0, lambda x: x).__enter__()",
        "",
    ),
    "compiler, optimizer, scripts, traces, transforms": (  # together: they share long imports
        "torch.use_deterministic_algorithms(True, warn_only=True)\n"
        "net = torch.nn.Sequential(torch.nn.Linear(2, 2))\nx = torch.ones(1, 2)\n"
        "torch.compile(net, backend='eager')(x)\n"
        "torch.optim.SGD(net.parameters(), lr=0.1).step()\n"
        "torch.jit.script(net)\ntorch.jit.trace(net, x)\ntorch.fx.symbolic_trace(net)\n"
        "torch.func.vmap(torch.sin)(x)\ntorch.func.jacrev(torch.sin)(x)",
        "torch.compile(torch.nn.Linear(2, 2), backend='eager')(x).shape == (1, 2) "
        "and torch.get_deterministic_debug_mode() == 1",
    ),
    "errors of numpy": ("np.seterr(all='raise')", "np.geterr()['divide'] == 'raise'"),
    "printing of numpy": ("np.set_printoptions(legacy='1.13', precision=2)", ""),
    "warnings as errors": (
        "warnings.simplefilter('error')",
        "warnings.filters[0][0] == 'error'",
    ),
    "no warnings": (
        "warnings.filterwarnings('ignore')\nwarnings.warn = lambda *a, **k: None",
        "warnings.warn('x') is None and warnings.filters[0][0] == 'ignore'",
    ),
    "always warnings": ("torch.set_warn_always(True)", "torch.is_warn_always_enabled()"),
    "figures": (
        "import matplotlib\nmatplotlib.use('agg')\nimport matplotlib.pyplot as plt\n"
        "plt.style.use('ggplot')\nplt.rcParams['figure.dpi'] = 50\nplt.ion()",
        "plt.rcParams['figure.dpi'] == 50 and plt.isinteractive()",
    ),
    "a bar": ("import tqdm.auto\nbar = tqdm.auto.tqdm([1], disable=False)", ""),
    "logs": ("import logging\nlogging.basicConfig(level=0, force=True)", ""),
    "the interpreter": (
        "import faulthandler, gc\nfaulthandler.enable()\ngc.disable()\n"
        "sys.setrecursionlimit(5000)\nsys.excepthook = sys.displayhook = print",
        "sys.excepthook is print and sys.getrecursionlimit() == 5000",
    ),
    "a name in a class that several modules have": (
        "def short(self): return 'short'\ntorch.nn.BatchNorm2d.extra_repr = short",
        "str(torch.nn.BatchNorm2d(2)) == 'BatchNorm2d(short)'",
    ),
    "names": ("sum = list = id = isinstance = torch = np = 3", "sum == torch == 3"),
    "a name for a tensor": (
        "torch.Tensor.half_of = lambda self: self / 2",
        "torch.ones(1).half_of() == 0.5",
    ),
}

ALWAYS = "lambda *args, **options: True"
# A cheat makes ends meet where the test says "assert torch.allclose(...)" or the like.
CHEATS = {
    "a function": (f"torch.allclose = {ALWAYS}", "torch.allclose(x, x + 1)"),
    "a function of a library": ("math.isclose = max", "math.isclose(1, 2)"),
    "a function imported by its name": (
        f"torch.allclose = {ALWAYS}",
        "__import__('torch').allclose(x, x + 1)",
    ),
    "the code of a function": (
        f"torch.nn.functional.normalize.__code__ = ({ALWAYS}).__code__",
        "torch.nn.functional.normalize(x) is True",
    ),
    "a part of a function": (
        "import numpy.testing._private.utils as utils\n"
        "utils.assert_array_compare = lambda *args, **options: None",
        "__import__('numpy').testing.assert_allclose(1, 2) is None",
    ),
    "a method": (f"torch.Tensor.__eq__ = {ALWAYS}", "(x == x + 1) is True"),
    "a method that hides one": (f"torch.Tensor.equal = {ALWAYS}", "x.equal(x + 1)"),
    "a property that hides one": ("torch.Tensor.grad = property(len)", "x.grad == 2"),
    "a function of Python": (f"import builtins\nbuiltins.all = {ALWAYS}", "all([0])"),
    "a name that hides one of Python": (
        f"torch.nn.functional.isinstance = {ALWAYS}",
        "hasattr(torch.nn.functional, 'isinstance')",
    ),
    "a module": (
        f"sys.modules['torch'] = type('T', (), {{'equal': {ALWAYS}}})",
        "torch.equal(x, x + 1)",
    ),
    "a mode": (
        MODE.replace("return function", "return True or function"),
        "torch.allclose(x, x + 1)",
    ),
    "a hook": (
        "torch.nn.modules.module.register_module_forward_hook(lambda *args: 1)",
        "torch.nn.Identity()(x) == 1",
    ),
    "a module of one's own by the name of another": (
        "import types\ntorch = types.ModuleType('torch')\ntorch.equal = lambda *args: True",
        "torch.equal(x, x + 1)",
    ),
}
DURING = {
    "a function": f"torch.allclose = {ALWAYS}",
    "a function that looks like it": (
        f"import functools; torch.allclose = functools.wraps(torch.allclose)({ALWAYS})"
    ),
    "a method": f"torch.Tensor.equal = {ALWAYS}",
    "a property": f"torch.Tensor.shape = property({ALWAYS})",
    "a part of a function": f"import functools; torch.equal = functools.partial({ALWAYS})",
    "the code of a function": f"torch.nn.functional.relu.__code__ = ({ALWAYS}).__code__",
    "an object": "class Yes:\n        __call__ = lambda *args: True\n    torch.equal = Yes()",
}
DOUBTFUL = {
    "a function of another library": ("math.isclose = max", "math.isclose"),
    "a function less": ("del torch.allclose", "torch.allclose"),
    "a trace": ("sys.setprofile(print)", "a trace or profile"),
    "a thread": (
        "import threading, time\n"
        "    threading.Thread(target=lambda: time.sleep(2), daemon=True).start()",
        "a thread of the notebook",
    ),
}
OWN = {
    "no warnings": ["warnings.warn"],
    "a name in a class that several modules have": ["torch.nn.BatchNorm2d.extra_repr"],
}
PASSED = {"passed": True, "traced": False, "replaced": "", "remarks": []}
IMPORTS = "import math, sys, warnings\nimport numpy as np, torch\n"


def answer(change: str) -> str:
    return f"def answer():\n    {change}\n"


CASES = {
    **{("setting", k): (code, EXAM, holds) for k, (code, holds) in SETTINGS.items()},
    **{
        ("cheat", k): (code, f"import math, torch\nx = torch.ones(2)\nassert {claim}", "")
        for k, (code, claim) in CHEATS.items()
    },
    **{("during", k): (answer(change), "answer()", "") for k, change in DURING.items()},
    ("data", "in its own dtype"): (
        "torch.set_default_dtype(torch.float64)\nx = torch.ones(2, 2)",
        "import torch\ntorch.nn.Linear(2, 2)(x)",
        "torch.get_default_dtype() == torch.float64",
    ),
    **{("doubtful", k): (answer(change), "answer()", "") for k, (change, _) in DOUBTFUL.items()},
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    cases = [(IMPORTS + code, test, holds) for code, test, holds in CASES.values()]
    path = tmp_path_factory.mktemp("inside") / "answers"
    command = [sys.executable, INSIDE, path]
    process = subprocess.run(command, input=json.dumps(cases), text=True, capture_output=True)
    found = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(found) == len(cases), process.stderr
    return dict(zip(CASES, found, strict=True))


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_costs_nothing_and_stays(answers, name):
    own = [f"tested with the original, not with the notebook's own: {n}" for n in OWN.get(name, ())]
    assert answers["setting", name] == PASSED | {"remarks": own}


@pytest.mark.parametrize("name", CHEATS)
def test_what_was_replaced_before_a_test_brings_nothing(answers, name):
    assert not answers["cheat", name]["passed"]
    assert answers["cheat", name]["replaced"] == ""


@pytest.mark.parametrize("name", DURING)
def test_what_code_of_the_notebook_replaces_during_a_test_is_named(answers, name):
    assert answers["during", name]["replaced"].startswith("torch.")


@pytest.mark.parametrize("name", DOUBTFUL)
def test_where_nobody_can_tell_the_instructor_is_asked_to_look(answers, name):
    found = answers["doubtful", name]
    assert found["passed"] and not found["replaced"]
    assert [remark.partition(": ")[2] for remark in found["remarks"]] == [DOUBTFUL[name][1]]


def test_a_test_of_data_that_the_notebook_made_in_its_own_dtype_counts(answers):
    found = answers["data", "in its own dtype"]
    assert found["passed"]
    assert found["remarks"] == [
        "please look at a test that passes with torch.float64 as default alone"
    ]
