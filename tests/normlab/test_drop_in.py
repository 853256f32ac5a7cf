"""What people do with layers of torch.nn: with ours it gives the same, or fails as loudly."""

import copy
import io
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import func, nn
from torch.autograd import forward_ad, gradcheck
from torch.func import functional_call
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional as T
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.optim.swa_utils import update_bn
from torch.testing import assert_close

from normlab import functional as F
from normlab import layers
from tests.normlab.pairs import (
    DOUBLE,
    KINDS,
    TRACKING,
    assert_same,
    assert_same_step,
    build,
    make_pair,
    step,
)

training_or_not = pytest.mark.parametrize("training", [True, False], ids=["training", "eval"])
every_layer = pytest.mark.parametrize("name", KINDS)

LARGE = {  # large enough to be computed in pieces
    "BatchNorm2d": (16, 4, 128, 128),
    "InstanceNorm2d": (16, 4, 128, 128),
    "GroupNorm": (16, 4, 128, 128),
    "LayerNorm": (4096, 64, 4),
    "RMSNorm": (4096, 64, 4),
}


class Case:
    """A layer as a function of its parameters and its input, and numbers to put into it."""

    def __init__(self, layer: nn.Module, shape: tuple[int, ...]) -> None:
        self.layer, self.params = layer, dict(layer.named_parameters())
        self.fixed = {name: p.detach() for name, p in self.params.items()}
        generator = torch.Generator().manual_seed(0)
        self.x, self.dx, self.dy = torch.randn(3, *shape, dtype=DOUBLE, generator=generator)
        self.many = torch.randn(3, *shape, dtype=DOUBLE, generator=generator)

    def __call__(self, x, params=None) -> torch.Tensor:
        return functional_call(self.layer, self.fixed if params is None else params, (x,))

    def loss(self, params, x) -> torch.Tensor:
        return (self(x, params) * self.dy).pow(2).sum()

    def stacked(self) -> dict[str, torch.Tensor]:
        """The parameters of an ensemble of three."""
        return {name: torch.stack([p, 2 * p, p + 1]) for name, p in self.fixed.items()}


def ensemble(c: Case):
    return func.vmap(c, in_dims=(None, 0))(c.x, c.stacked())


def gradients_of_an_ensemble(c: Case):
    return func.vmap(func.grad(c.loss, argnums=(0, 1)), in_dims=(0, None))(c.stacked(), c.x)


def gradients_per_sample(c: Case):
    return func.vmap(func.grad(c.loss), in_dims=(None, 0))(c.fixed, c.many)


def cotangents_from_outside(c: Case):
    """Neither x nor dy belongs to the batch; gamma alone does."""

    def one(params):
        return func.vjp(lambda x: c(x, params), c.x)[1](c.dy)[0]

    return func.vmap(one)(c.stacked())


def jacobian_without_grad_mode(c: Case):
    with torch.no_grad():
        return func.vmap(func.jacrev(c))(c.many)


def gradients_of_many_outputs(c: Case):
    x = c.x.clone().requires_grad_()
    many = torch.stack([c.dy, c.dx])
    return torch.autograd.grad(c.layer(x), x, many, is_grads_batched=True)


def dual_numbers(c: Case):
    with forward_ad.dual_level():
        y = c.layer(forward_ad.make_dual(c.x, c.dx))
        return tuple(forward_ad.unpack_dual(y))


def dual_parameters(c: Case):
    with forward_ad.dual_level():
        duals = {name: forward_ad.make_dual(p, p.cos()) for name, p in c.fixed.items()}
        return tuple(forward_ad.unpack_dual(c(c.x, duals)))


def product_with_the_hessian(c: Case):
    """Forward over reverse."""
    gradient = func.grad(lambda x: c.loss(c.fixed, x))
    return func.jvp(gradient, (c.x,), (c.dx,))


def penalty_on_the_gradient(c: Case):
    x = c.x.clone().requires_grad_()
    (g,) = torch.autograd.grad((c.layer(x) * c.dy).sum(), x, create_graph=True)
    return torch.autograd.grad(g.pow(2).sum(), [x, *c.layer.parameters()], materialize_grads=True)


TRANSFORMS: dict[str, Callable[[Case], object]] = {
    "grad": lambda c: func.grad(c.loss, argnums=(0, 1))(c.fixed, c.x),
    "vjp": lambda c: func.vjp(c, c.x)[1](c.dy),
    "jvp": lambda c: func.jvp(c, (c.x,), (c.dx,)),
    "jvp of the parameters": lambda c: func.jvp(lambda p: c(c.x, p), (c.fixed,), (c.fixed,)),
    "linearize": lambda c: func.linearize(c, c.x)[1](c.dx),
    "jacrev": lambda c: func.jacrev(c)(c.x),
    "jacfwd": lambda c: func.jacfwd(c)(c.x),
    "hessian": lambda c: func.hessian(lambda x: c.loss(c.fixed, x))(c.x),
    "jacrev of jacrev": lambda c: func.jacrev(func.jacrev(lambda x: c.loss(c.fixed, x)))(c.x),
    "jacrev of jacfwd": lambda c: func.jacrev(func.jacfwd(lambda x: c.loss(c.fixed, x)))(c.x),
    "hessian of the parameters": lambda c: func.hessian(c.loss)(c.fixed, c.x),
    "vmap": lambda c: func.vmap(c)(c.many),
    "vmap over the last dimension": lambda c: func.vmap(c, -1, -1)(c.many.movedim(0, -1)),
    "vmap in vmap": lambda c: func.vmap(func.vmap(c))(c.many[None]),
    "vmap of jvp": lambda c: func.vmap(lambda x: func.jvp(c, (x,), (c.dx,)))(c.many),
    "vmap of hessian": lambda c: func.vmap(func.hessian(lambda x: c.loss(c.fixed, x)))(c.many[:2]),
    "ensemble": ensemble,
    "gradients of an ensemble": gradients_of_an_ensemble,
    "gradients per sample": gradients_per_sample,
    "cotangents from outside": cotangents_from_outside,
    "jacobian without grad mode": jacobian_without_grad_mode,
    "gradients of many outputs": gradients_of_many_outputs,
    "dual numbers": dual_numbers,
    "dual parameters": dual_parameters,
    "product with the hessian": product_with_the_hessian,
    "penalty on the gradient": penalty_on_the_gradient,
    "functionalize": lambda c: func.functionalize(c)(c.x),
    "functionalize grad": lambda c: func.functionalize(func.grad(c.loss))(c.fixed, c.x),
    "make_fx": lambda c: make_fx(c)(c.x)(c.x),
    "make_fx of grad": lambda c: make_fx(func.grad(lambda x: c.loss(c.fixed, x)))(c.x)(c.x),
    "make_fx of vmap": lambda c: make_fx(func.vmap(c))(c.many)(c.many),
    "a jacobian in one go": lambda c: torch.autograd.functional.jacobian(c, c.x, vectorize=True),
    "a jacobian forward": lambda c: torch.autograd.functional.jacobian(
        c, c.x, vectorize=True, strategy="forward-mode"
    ),
}


def leaves(result: object) -> dict[str, torch.Tensor]:
    tensors = torch.utils._pytree.tree_leaves(result)
    return {str(i): t.detach() for i, t in enumerate(tensors) if t is not None}


def cases(name: str, training: bool, **options) -> tuple[Case, Case]:
    pair = make_pair(name, DOUBLE, affine=True, **options)  # an option that it lacks is left out
    return tuple(Case(layer.train(training), KINDS[name][1][0]) for layer in pair)


@training_or_not
@every_layer
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_transforms_give_what_they_give_with_torch(transform, name, training):
    # In training without running statistics: a transform cannot write into them.
    ours, theirs = cases(name, training, track=not training)
    # torch.nn differentiates its forward mode wrongly: the matrix is not even symmetric.
    right = "hessian" if transform == "jacrev of jacfwd" else transform
    assert_same(leaves(TRANSFORMS[transform](ours)), leaves(TRANSFORMS[right](theirs)), 1e-8)


@training_or_not
@every_layer
def test_derivatives_pass_every_check_that_autograd_has(name, training):
    case, _ = cases(name, training)
    assert gradcheck(
        lambda x, *params: case(x, dict(zip(case.params, params, strict=True))),
        (case.x.requires_grad_(), *case.params.values()),
        check_forward_ad=True,
        check_batched_grad=True,
        check_batched_forward_grad=True,
    )


@pytest.mark.parametrize("name", [name for name in TRACKING if "Batch" in name])
@pytest.mark.parametrize("transform", ["grad", "jvp", "vmap", "functionalize"])
def test_statistics_that_a_transform_cannot_write_are_an_error(transform, name):
    case, _ = cases(name, training=True, track=True)
    with pytest.raises(RuntimeError):
        TRANSFORMS[transform](case)


@pytest.mark.parametrize("name", TRACKING)
def test_an_ensemble_that_shares_its_input_moves_the_statistics_once(name):
    ours, theirs = cases(name, training=True, track=True)
    for case in (ours, theirs):
        ensemble(case)
    assert_same(ours.layer.state_dict(), theirs.layer.state_dict(), 1e-10)


def test_under_vmap_the_error_says_how_to_do_without_running_statistics():
    case, _ = cases("BatchNorm1d", training=True)
    with pytest.raises(RuntimeError, match="replace_all_batch_norm_modules_"):
        TRANSFORMS["vmap"](case)


# --- recorded and compiled ---


class Net(nn.Module):
    """A layer between two others."""

    def __init__(self, layer: nn.Module, width: int) -> None:
        super().__init__()
        self.before, self.layer = nn.Linear(width, width, dtype=DOUBLE), layer

    def forward(self, x):
        return 2 * self.layer(self.before(x))


def net_and_input(name: str, training: bool) -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    x = torch.randn(KINDS[name][1][0], dtype=DOUBLE)
    return Net(make_pair(name, DOUBLE, affine=True, track=True)[0], x.shape[-1]).train(training), x


@training_or_not
@every_layer
def test_a_compiled_network_has_one_graph_and_the_same_step(name, training):
    net, x = net_and_input(name, training)
    torch.compiler.reset()
    compiled = copy.deepcopy(net)
    compiled.compile(fullgraph=True, backend="aot_eager")
    assert_same_step((compiled, net), x, x.cos(), 1e-10)


@training_or_not
@every_layer
@pytest.mark.parametrize("strict", [True, False])
def test_an_exported_network_gives_the_same(name, training, strict):
    net, x = net_and_input(name, training)
    exported = torch.export.export(copy.deepcopy(net), (x,), strict=strict).module()
    assert_close(exported(x), net(x))


def test_an_exported_network_takes_batches_of_any_size():
    net, x = net_and_input("BatchNorm2d", training=False)
    dynamic = ({0: torch.export.Dim("n", min=2, max=64)},)
    exported = torch.export.export(net, (x,), dynamic_shapes=dynamic).module()
    assert_close(exported(x.repeat(4, 1, 1, 1)), net(x.repeat(4, 1, 1, 1)))


@pytest.mark.filterwarnings("ignore::FutureWarning")  # torch.jit is deprecated, and in use
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")  # of shapes, which stay
@training_or_not
@every_layer
def test_a_network_traced_by_jit_gives_the_same_after_saving(name, training):
    net, x = net_and_input(name, training)
    file = io.BytesIO()
    torch.jit.save(torch.jit.trace(net, (x,)), file)
    file.seek(0)
    assert_close(torch.jit.load(file)(x), net(x))


@training_or_not
@every_layer
def test_fx_records_a_layer_as_one_node(name, training):
    net, x = net_and_input(name, training)
    traced = torch.fx.symbolic_trace(net)
    assert [n.target for n in traced.graph.nodes if n.op == "call_module"] == ["before", "layer"]
    assert_close(traced(x), net(x))


def test_fx_knows_which_layer_a_node_belongs_to():
    net = nn.Sequential(nn.Sequential(nn.Linear(4, 4), layers.LayerNorm(4)))
    node = list(torch.fx.symbolic_trace(net).graph.nodes)[-2]
    assert [path for path, _ in node.meta["nn_module_stack"].values()] == ["0", "0.1"]


def test_features_are_taken_from_a_layer_by_its_name():
    extraction = pytest.importorskip("torchvision.models.feature_extraction")
    net, x = (
        nn.Sequential(nn.Sequential(layers.BatchNorm1d(4)), nn.ReLU()).eval(),
        torch.randn(5, 4),
    )
    extractor = extraction.create_feature_extractor(net, ["0.0"])
    assert_close(extractor(x)["0.0"], net[0](x))


@pytest.mark.parametrize("name", LARGE)
def test_make_fx_records_a_large_input_whole(name):
    layer, x = make_pair(name, affine=True, track=True)[0].eval(), torch.randn(LARGE[name])
    with torch.no_grad():
        graph = make_fx(layer, tracing_mode="symbolic", _allow_non_fake_inputs=True)(x)
        other = torch.cat([x, 2 * x])
        assert_close(graph(other), layer(other))


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("layout", [torch.jagged, torch.strided])
@pytest.mark.parametrize("name", ["LayerNorm", "RMSNorm"])
def test_nested_tensors_are_normalized_sample_by_sample(name, layout):
    layer, _ = make_pair(name)
    parts = [torch.randn(n, 4, requires_grad=True) for n in (2, 3)]
    y = layer(torch.nested.as_nested_tensor(parts, layout=layout))
    together = torch.cat(list(y.unbind()))
    assert_close(together, layer(torch.cat(parts)))
    (gradient,) = torch.autograd.grad(together.pow(3).sum(), parts[1])
    (right,) = torch.autograd.grad(layer(parts[1]).pow(3).sum(), parts[1])
    assert_close(gradient, right)
    if layout == torch.jagged:
        x = torch.nested.as_nested_tensor(parts, layout=layout)
        assert (x + layer(x)).shape == x.shape  # the same ragged dimension


# --- found by those who ask for the class ---


@every_layer
def test_a_layer_is_one_of_torch(name):
    layer = build(layers, name)
    assert isinstance(layer, getattr(nn, name))
    assert isinstance(layer, _BatchNorm) == name.startswith("Batch")
    assert isinstance(layer, _NormBase) == (name in TRACKING)


def test_update_bn_computes_the_statistics_anew():
    torch.manual_seed(0)
    data = 7 + torch.randn(20, 8, 4)
    net = nn.Sequential(layers.BatchNorm1d(4))
    net(data[0])
    update_bn(data, net)
    assert net[0].num_batches_tracked == 20 and net[0].momentum == 0.1
    assert_close(net[0].running_mean, data.mean((0, 1)))


def test_batch_norm_is_converted_for_many_devices_with_its_state():
    net = nn.Sequential(nn.Linear(4, 4), layers.BatchNorm1d(4))
    net(torch.randn(8, 4))
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(net))
    assert type(converted[1]) is nn.SyncBatchNorm
    for key, value in net.state_dict().items():
        assert torch.equal(converted.state_dict()[key], value)


def test_running_statistics_are_removed_for_torch_func():
    net = nn.Sequential(layers.BatchNorm1d(4))
    func.replace_all_batch_norm_modules_(net)
    assert net[0].running_mean is None and not net[0].track_running_stats
    assert func.vmap(lambda x: functional_call(net, {}, (x,)))(torch.randn(3, 5, 4)).shape == (
        3,
        5,
        4,
    )


def test_fusing_by_type_fails_loudly_and_fusing_by_numbers_works():
    conv, bn = nn.Conv2d(2, 4, 3).eval(), layers.BatchNorm2d(4).eval()
    bn.running_mean.normal_()
    with pytest.raises((AssertionError, NotImplementedError), match="normlab.layers.BatchNorm2d"):
        torch.ao.quantization.fuse_modules(nn.Sequential(conv, bn), [["0", "1"]])
    x = torch.randn(2, 2, 5, 5)
    fused = nn.utils.fusion.fuse_conv_bn_eval(conv, bn)
    assert_close(fused(x), bn(conv(x)), rtol=1e-4, atol=1e-5)


@every_layer
def test_weight_decay_spares_the_layers_that_it_spares_with_torch(name):
    norms = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
    for module in (layers, nn):
        net = nn.Sequential(nn.Linear(4, 4), build(module, name, affine=True))
        spared = [p for m in net.modules() if isinstance(m, norms) for p in m.parameters()]
        assert len(spared) == len(list(net[1].parameters())) > 0


@every_layer
def test_the_input_is_called_as_in_torch(name):
    keyword = "x" if name == "RMSNorm" else "input"
    ours, theirs = make_pair(name)
    x = torch.randn(KINDS[name][1][0])
    assert_close(ours(**{keyword: x}), theirs(**{keyword: x}), rtol=1e-4, atol=1e-4)


@every_layer
@pytest.mark.parametrize("wrong", [None, "x", [1.0], np.ones(4)])
def test_what_is_no_tensor_is_refused_with_the_error_of_torch(name, wrong):
    ours, theirs = make_pair(name)
    with pytest.raises(Exception) as expected:
        theirs(wrong)
    with pytest.raises(expected.type):
        ours(wrong)


@every_layer
def test_where_no_gradient_comes_none_goes(name):
    class Stop(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, dy):
            return None

    for layer in make_pair(name, affine=True):
        x = torch.randn(KINDS[name][1][0], requires_grad=True)
        Stop.apply(layer(x)).sum().backward()
        assert x.grad is None and layer.weight.grad is None


@pytest.mark.parametrize("module", [layers, nn])
def test_a_subclass_may_change_which_ranks_it_takes(module):
    class AnyRank(module.BatchNorm1d):
        def _check_input_dim(self, input):
            pass

    assert AnyRank(4)(torch.randn(2, 4, 3, 3, 3, 3)).shape == (2, 4, 3, 3, 3, 3)


@pytest.mark.parametrize("module", [layers, nn])
def test_a_subclass_may_add_an_activation(module):
    class BatchNormReLU(module.BatchNorm2d):
        def forward(self, input):
            return super().forward(input).relu()

    assert BatchNormReLU(4)(torch.randn(2, 4, 3, 3)).min() == 0


# --- state and sizes ---


@pytest.mark.parametrize("module", [layers, nn])
@pytest.mark.parametrize("name", TRACKING)
def test_an_old_state_is_assigned_to_a_layer_without_memory(name, module):
    state = build(module, name, track=True).state_dict()
    del state["num_batches_tracked"]
    state._metadata = {"": {"version": 1}}
    layer = build(module, name, track=True, device="meta")
    layer.load_state_dict(state, assign=True)
    assert layer.to("cpu").num_batches_tracked == 0


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("module", [layers, nn])
def test_statistics_for_an_instance_norm_that_keeps_none_are_explained(module, strict):
    state = module.InstanceNorm1d(4, track_running_stats=True).state_dict()
    state._metadata = {"": {}}
    with pytest.raises(RuntimeError, match="track_running_stats=False"):
        module.InstanceNorm1d(4).load_state_dict(state, strict=strict)


@every_layer
def test_a_layer_without_memory_gets_some_and_starts_afresh(name):
    layer = build(layers, name, affine=True, track=True, device="meta").to_empty(device="cpu")
    layer.reset_parameters()
    fresh = build(nn, name, affine=True, track=True).state_dict()
    assert all(torch.equal(value, fresh[key]) for key, value in layer.state_dict().items())


@every_layer
def test_sizes_may_be_integers_of_numpy(name):
    sizes = [np.int64(size) for size in KINDS[name][0]]
    x = torch.randn(KINDS[name][1][0])
    assert getattr(layers, name)(*sizes)(x).shape == x.shape


@pytest.mark.parametrize("shape", [[2, 4], torch.Size([2, 4]), np.array([2, 4])])
@pytest.mark.parametrize("name", ["LayerNorm", "RMSNorm"])
def test_a_shape_may_be_any_sequence(name, shape):
    assert getattr(layers, name)(shape)(torch.randn(3, 2, 4)).shape == (3, 2, 4)


@pytest.mark.parametrize("module", [layers, nn])
@pytest.mark.parametrize("momentum", [0.1, 0.5, 1.0])
def test_one_infinite_value_makes_its_mean_infinite_and_no_other(module, momentum):
    torch.manual_seed(0)
    x = torch.randn(4, 2)
    x[0, 0] = torch.inf
    layer = module.BatchNorm1d(2, momentum=momentum)
    layer(x)
    assert layer.running_mean[0] == torch.inf and layer.running_mean[1].isfinite()
    assert layer.running_var[0].isnan() and layer.running_var[1].isfinite()


@pytest.mark.parametrize("module", [layers, nn])
def test_a_variance_too_large_for_half_precision_is_converted_after_the_update(module):
    torch.manual_seed(0)
    x = (500 * torch.randn(2000, 1)).half()  # variance 250,000, and float16 ends at 65,504
    layer = module.BatchNorm1d(1).half()
    layer(x)
    expected = 0.9 + 0.1 * x.double().var()
    assert_close(layer.running_var.double(), expected.view(1), rtol=2**-10, atol=0)


def test_batch_norm_takes_a_weight_of_four_dimensions():
    x, w = torch.randn(3, 4, 2, 2), torch.rand(4, 1, 1, 1, requires_grad=True)
    y = F.batch_norm(x, None, None, w, training=True)
    assert_close(y, T.batch_norm(x, None, None, w.view(4), training=True), rtol=1e-4, atol=1e-4)
    assert torch.autograd.grad(y.sum(), w)[0].shape == w.shape


# --- PyTorch's own tests of its modules ---


def module_inputs(name: str) -> list:
    # The import takes 5 seconds and freezes the settings of torch.backends, for other tests too.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.backends, "disable_global_flags", lambda: None)
        from torch.testing._internal.common_modules import module_db

    (info,) = [m for m in module_db if m.module_cls is getattr(nn, name)]
    return [
        (inputs, training)
        for training in (True, False)
        for inputs in info.module_inputs_func(info, "cpu", DOUBLE, True, training)
    ]


@every_layer
def test_what_pytorch_tests_its_layer_with_gives_the_same(name):
    """Its arguments and inputs, two training or eval steps."""
    cases = module_inputs(name)
    assert len(cases) > 2
    for inputs, training in cases:
        args, kwargs = inputs.constructor_input.args, inputs.constructor_input.kwargs
        pair = [getattr(m, name)(*args, **kwargs).to(DOUBLE).train(training) for m in (layers, nn)]
        (x,) = inputs.forward_input.args
        for _ in range(2):
            assert_same_step(pair, x, x.detach().cos(), 1e-10)


# --- memory ---


def kept_for_backward(layer: nn.Module, x: torch.Tensor) -> int:
    """Count the numbers that are kept beside the input and the parameters."""
    ours = {t.untyped_storage().data_ptr() for t in (x, *layer.parameters(), *layer.buffers())}
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in ours:
            kept[storage.data_ptr()] = storage.nbytes() // tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = layer(x)  # holds the graph: freed memory would be counted twice
    del output
    return sum(kept.values())


@training_or_not
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("name", [n for n in KINDS if n.endswith("2d") or n[0] in "GLR"])
def test_no_more_is_kept_than_by_torch_and_the_statistics(name, layout, dtype, training):
    shape = (8, 4, 32, 32 if name[0] not in "LR" else 4)
    x = torch.randn(shape).to(dtype).contiguous(memory_format=layout).requires_grad_()
    ours, theirs = (
        kept_for_backward(layer.train(training), x)
        for layer in make_pair(name, dtype, affine=True, track=True)
    )
    statistics = 2 * x.numel() // 4  # at most: one mean and one variance for each row of 4
    statistics = statistics if name[0] in "LR" else 2 * 8 * 4
    assert ours <= theirs + statistics


# --- large inputs are computed in pieces ---


@training_or_not
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("name", LARGE)
def test_pieces_give_what_the_whole_gives(name, dtype, training, monkeypatch):
    layer = make_pair(name, dtype, affine=True, track=True)[0].train(training)
    torch.manual_seed(0)
    x, dy = torch.randn(2, *LARGE[name]).to(dtype)
    whole = copy.deepcopy(layer)
    pieces = step(layer, x, dy)
    monkeypatch.setattr(F, "_PIECE", 2**40)
    assert_same(pieces, step(whole, x, dy), 1e-12 if dtype == DOUBLE else 2**-7)


@pytest.mark.parametrize("name", LARGE)
def test_pieces_do_not_disturb_many_gradients_at_once(name, monkeypatch):
    monkeypatch.setattr(F, "_PIECE", 64)
    layer, _ = make_pair(name, DOUBLE, affine=True)
    shape = (6, 4, 16, 16) if len(LARGE[name]) == 4 else (256, 64, 4)
    x = torch.randn(shape, dtype=DOUBLE, requires_grad=True)
    dy = torch.randn(2, *shape, dtype=DOUBLE)
    both = torch.autograd.grad(layer(x), x, dy, is_grads_batched=True)[0]
    for g, one in zip(both, dy, strict=True):
        assert_close(g, torch.autograd.grad(layer(x), x, one)[0])
