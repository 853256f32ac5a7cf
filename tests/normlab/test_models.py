import pytest
import torch
from torch import nn

from normlab import layers
from normlab.models import LeNet5, ResidualBlock, ResNet, Transformer, TransformerBlock, mlp
from normlab.training import seed_everything

WITH_BN = {"norm2d": nn.BatchNorm2d, "norm1d": nn.BatchNorm1d}


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def test_lenet5_has_the_published_number_of_parameters():
    assert parameters(LeNet5()) == 62_006


def test_batch_norm_adds_two_parameters_per_channel():
    assert parameters(LeNet5(**WITH_BN)) - parameters(LeNet5()) == 2 * (6 + 16 + 120 + 84)


def test_batch_norm_stands_between_each_affine_layer_and_its_activation():
    kinds = [type(m) for m in LeNet5(**WITH_BN).modules() if not list(m.children())]
    conv = [nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.MaxPool2d]
    hidden = [nn.Linear, nn.BatchNorm1d, nn.ReLU]
    assert kinds == [*conv, *conv, nn.Flatten, *hidden, *hidden, nn.Linear]


def test_the_same_seed_gives_the_same_weights_with_and_without_batch_norm():
    seed_everything(3)
    plain = LeNet5()
    seed_everything(3)
    normed = LeNet5(**WITH_BN)
    weights = [m.weight for m in normed.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    expected = [m.weight for m in plain.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert all(torch.equal(a, b) for a, b in zip(weights, expected, strict=True))


@pytest.mark.parametrize("fig_size", [16, 28, 32, 33, 79])
@pytest.mark.parametrize("padding", [0, 2])
def test_the_first_linear_layer_fits_every_image_size(fig_size, padding):
    model = LeNet5(channels=1, fig_size=fig_size, num_classes=4, padding=padding)
    assert model(torch.zeros(2, 1, fig_size, fig_size)).shape == (2, 4)


def test_the_older_lenet_takes_sigmoid_average_pooling_and_any_norm():
    model = LeNet5(layers.BatchNorm2d, layers.BatchNorm1d, nn.Sigmoid, nn.AvgPool2d, padding=2)
    kinds = {type(m) for m in model.modules()}
    assert {nn.Sigmoid, nn.AvgPool2d, layers.BatchNorm2d, layers.BatchNorm1d} <= kinds
    assert not {nn.ReLU, nn.MaxPool2d} & kinds


def test_an_mlp_normalizes_every_layer_but_the_last():
    model = mlp([2, 64, 32, 2], nn.BatchNorm1d, nn.Tanh)
    kinds = [type(m) for m in model.modules() if not list(m.children())]
    assert kinds == [*[nn.Linear, nn.BatchNorm1d, nn.Tanh] * 2, nn.Linear]


@pytest.mark.parametrize("norm", [nn.LayerNorm, nn.RMSNorm, None])
@pytest.mark.parametrize("place", ["pre", "post"])
def test_a_transformer_is_causal_and_gives_logits_for_every_step(norm, place):
    seed_everything(0)
    model = Transformer(7, norm, place, width=8, heads=2, context=6)
    text = torch.randint(7, (3, 6))
    logits = model(text)
    later = torch.cat([text[:, :4], (text[:, 4:] + 1) % 7], dim=1)
    assert logits.shape == (3, 6, 7)
    assert torch.allclose(model(later)[:, :4], logits[:, :4], atol=1e-6)
    assert torch.allclose(model(text[:, :2]), logits[:, :2], atol=1e-6)


def test_a_transformer_has_its_norms_where_its_arguments_put_them():
    def norms(**options):
        model = Transformer(7, nn.RMSNorm, width=8, heads=2, depth=3, **options)
        return sum(isinstance(m, nn.RMSNorm) for m in model.modules())

    assert [norms(), norms(final_norm=False), norms(place="post")] == [7, 6, 6]
    assert norms(qk_norm=nn.RMSNorm) == 7 + 2 * 3


@pytest.mark.parametrize("place", ["pre", "post"])
def test_a_block_computes_what_that_of_torch_computes(place):
    seed_everything(0)
    ours = TransformerBlock(8, 2, place=place)
    options = {"dropout": 0.0, "batch_first": True, "norm_first": place == "pre"}
    theirs = nn.TransformerEncoderLayer(8, 2, 32, **options)
    pairs = [
        (theirs.linear1, ours.mlp[0]),
        (theirs.linear2, ours.mlp[2]),
        (theirs.norm1, ours.norms[0]),
        (theirs.norm2, ours.norms[1]),
        (theirs.self_attn.out_proj, ours.attention.out),
    ]
    for layer, own in pairs:
        layer.load_state_dict(own.state_dict())
    theirs.self_attn.in_proj_weight.data.copy_(ours.attention.qkv.weight)
    theirs.self_attn.in_proj_bias.data.copy_(ours.attention.qkv.bias)
    x = torch.randn(3, 5, 8)
    mask = nn.Transformer.generate_square_subsequent_mask(5)
    assert torch.allclose(theirs(x, mask, is_causal=True), ours(x), atol=1e-5)


def test_an_unknown_place_is_an_error():
    with pytest.raises(ValueError, match="'pre' or 'post'"):
        Transformer(7, place="middle")


class BasicBlock(nn.Module):
    """The block of torchvision's ResNets, with its names and its order of construction."""

    def __init__(self, inplanes: int, planes: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inplanes, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = None
        if stride != 1 or inplanes != planes:
            match = nn.Conv2d(inplanes, planes, 1, stride, bias=False)
            self.downsample = nn.Sequential(match, nn.BatchNorm2d(planes))

    def forward(self, x):
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += identity
        return self.relu(out)


def torchvision_style(depth: int) -> nn.Sequential:
    layers = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    before = 16
    for planes in (16, 32, 64):
        for i in range((depth - 2) // 6):
            layers.append(BasicBlock(before, planes, 2 if planes > 16 and i == 0 else 1))
            before = planes
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


ORDER = {"branch.0": 0, "branch.1": 1, "branch.3": 2, "branch.4": 3, "shortcut": 4}


def in_their_order(model: ResNet) -> list[torch.Tensor]:
    """Return parameters and buffers as torchvision lists them: each branch before its shortcut."""

    def place(name: str) -> tuple[int, int]:
        if name.startswith("blocks"):
            _, number, part = name.split(".", 2)
            return 1 + int(number), next(n for key, n in ORDER.items() if part.startswith(key))
        return (0, 0) if name.startswith("stem") else (1000, 0)

    state = model.state_dict()
    return [state[name] for name in sorted(state, key=place)]


@pytest.mark.parametrize("depth", [8, 14])
def test_a_resnet_computes_what_a_network_of_torchvisions_blocks_computes(depth):
    seed_everything(0)
    ours, theirs = ResNet(depth, nn.BatchNorm2d), torchvision_style(depth)
    for tensor in ours.state_dict().values():
        if tensor.dim() == 1:  # gammas, betas and statistics that are not those of a new layer
            nn.init.uniform_(tensor, 0.5, 1.5)
    names = theirs.state_dict()
    theirs.load_state_dict(dict(zip(names, in_their_order(ours), strict=True)))
    images = torch.randn(4, 3, 32, 32)
    for mode in (True, False):
        results = []
        for model in (ours.train(mode), theirs.train(mode)):
            model.zero_grad()
            outputs = model(images)
            outputs.square().sum().backward()
            results.append((outputs, next(model.parameters()).grad))
        for a, b in zip(*results, strict=True):
            assert torch.allclose(a, b, rtol=1e-4, atol=1e-4)
    assert parameters(ours) == parameters(theirs)


def test_resnet_8_and_14_have_their_number_of_parameters():
    assert [parameters(ResNet(depth, nn.BatchNorm2d)) for depth in (8, 14)] == [78_042, 175_258]


def test_convolutions_have_a_bias_where_no_norm_follows():
    for norm, biased in ((None, True), (nn.BatchNorm2d, False)):
        convs = [m for m in ResNet(8, norm).modules() if isinstance(m, nn.Conv2d)]
        assert len(convs) == 9 and all((c.bias is not None) == biased for c in convs)


def test_the_same_seed_gives_a_resnet_the_same_weights_with_any_norm_and_order():
    weights = []
    for options in ({}, {"norm": nn.BatchNorm2d}, {"preactivate": True}, {"scale": 0.0}):
        seed_everything(3)
        weights.append([p for p in ResNet(8, **options).parameters() if p.dim() > 1])
    for others in weights[1:]:
        assert all(torch.equal(a, b) for a, b in zip(weights[0], others, strict=True))


@pytest.mark.parametrize("preactivate", [True, False])
@pytest.mark.parametrize("norm", [None, nn.BatchNorm2d, lambda c: nn.GroupNorm(4, c)])
def test_zero_init_residual_makes_each_block_begin_as_its_shortcut(norm, preactivate):
    model = ResNet(14, norm, zero_init_residual=True, preactivate=preactivate)
    x = torch.randn(2, 16, 8, 8).relu()
    assert torch.equal(model.blocks[0](x), x)
    assert model.blocks[2].branch(x).abs().max() == 0


def test_a_scale_of_zero_makes_a_block_begin_as_its_shortcut_and_learns():
    block = ResidualBlock(4, 4, scale=0.0)
    x = torch.randn(2, 4, 8, 8).relu()
    assert torch.equal(block(x), x)
    block(x).square().sum().backward()
    assert block.scale.grad != 0


def test_a_preactivated_stream_is_a_sum():
    block = ResidualBlock(4, 4, norm=nn.BatchNorm2d, preactivate=True)
    x = torch.randn(2, 4, 8, 8)
    assert torch.equal(block(x), x + block.branch(x))
    assert type(ResNet(8, nn.BatchNorm2d, preactivate=True).head[0]) is nn.BatchNorm2d


@pytest.mark.parametrize("depth", [2, 7, 10, 18, -4])
def test_a_depth_that_is_not_6n_plus_2_is_refused(depth):
    with pytest.raises(ValueError, match="6n \\+ 2"):
        ResNet(depth)
