import pytest
import torch
from torch import nn

from normlab import layers
from normlab.models import LeNet5, Transformer, TransformerBlock, mlp
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
