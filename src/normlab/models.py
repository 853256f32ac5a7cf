"""The networks of the course, with the normalization layer as an argument."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

Norm = Callable[[int], nn.Module]  # from the number of features to a layer


def block(
    affine: nn.Module, norm: Norm | None, activation: type[nn.Module], *after: nn.Module
) -> nn.Sequential:
    """Chain an affine layer, its normalization if any, the activation, and what follows."""
    layers = [affine]
    if norm is not None:
        layers.append(norm(affine.weight.shape[0]))
    return nn.Sequential(*layers, activation(), *after)


def mlp(
    sizes: Sequence[int], norm: Norm | None = None, activation: type[nn.Module] = nn.ReLU
) -> nn.Sequential:
    """Chain linear layers; a norm and an activation follow all but the last.

    Args:
        sizes: number of features before, between and after the layers.
        norm: makes the normalization layer from a number of features, `nn.BatchNorm1d` for example.
        activation: class of the activation.
    """
    hidden = [
        block(nn.Linear(before, after), norm, activation)
        for before, after in zip(sizes[:-2], sizes[1:-1], strict=True)
    ]
    return nn.Sequential(*hidden, nn.Linear(sizes[-2], sizes[-1]))


class LeNet5(nn.Module):
    """LeNet-5 for images [N, channels, fig_size, fig_size]; returns logits [N, num_classes].

    Args:
        norm2d: makes the layer after each convolution from its number of channels; None means none.
        norm1d: makes the layer after each hidden linear layer from its number of features; None
            means none.
        activation: class of the activation, `nn.Sigmoid` in the older version.
        pool: class of the pooling, `nn.AvgPool2d` in the older version.
        channels: image channels, 3 for colour.
        fig_size: height and width of the images in pixels.
        num_classes: number of logits.
        padding: pixels of zero around the image before the first convolution.

    Source: LeCun et al. 1998, with the layer sizes 6-16-120-84.
    """

    def __init__(
        self,
        norm2d: Norm | None = None,
        norm1d: Norm | None = None,
        activation: type[nn.Module] = nn.ReLU,
        pool: Callable[[int], nn.Module] = nn.MaxPool2d,
        channels: int = 3,
        fig_size: int = 32,
        num_classes: int = 10,
        padding: int = 0,
    ) -> None:
        side = ((fig_size + 2 * padding - 4) // 2 - 4) // 2  # two 5x5 convolutions, two poolings
        super().__init__()
        self.layers = nn.Sequential(
            block(nn.Conv2d(channels, 6, 5, padding=padding), norm2d, activation, pool(2)),
            block(nn.Conv2d(6, 16, 5), norm2d, activation, pool(2)),
            nn.Flatten(),
            block(nn.Linear(16 * side * side, 120), norm1d, activation),
            block(nn.Linear(120, 84), norm1d, activation),
            nn.Linear(84, num_classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return logits [N, num_classes] for float images [N, channels, fig_size, fig_size]."""
        return self.layers(images)
