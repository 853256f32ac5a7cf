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


def he_conv(before: int, after: int, size: int, stride: int = 1, bias: bool = True) -> nn.Conv2d:
    """Make a convolution that keeps height and width at stride 1, with weights for a ReLU after it.

    The weights are normal with variance 2 / inputs, the bias is zero and draws no random number.
    """
    sizes = {"kernel_size": size, "stride": stride, "padding": size // 2}
    layer = nn.utils.skip_init(nn.Conv2d, before, after, **sizes, bias=bias)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut: [N, before, H, W] to [N, after, H / stride, W / stride].

    Args:
        before: channels of the input.
        after: channels of the output.
        stride: of the first convolution, and of the shortcut.
        norm: makes the layer at each convolution from its channels; None means none. With a norm
            the convolutions have no bias.
        preactivate: norm and ReLU stand before each convolution, and none behind the sum.
        scale: first value of a learned factor of the branch; None means no factor.

    Source: `torchvision.models.resnet.BasicBlock`; with `preactivate`, He et al. 2016b; the factor
    is SkipInit of De & Smith 2020.
    """

    def __init__(
        self,
        before: int,
        after: int,
        stride: int = 1,
        norm: Norm | None = None,
        preactivate: bool = False,
        scale: float | None = None,
    ) -> None:
        super().__init__()
        bias, make = norm is None, norm or (lambda channels: nn.Identity())
        one, two = he_conv(before, after, 3, stride, bias), he_conv(after, after, 3, 1, bias)
        self.shortcut, self.last = nn.Identity(), nn.ReLU()
        if before != after or stride != 1:
            match = he_conv(before, after, 1, stride, bias)
            match.weight.data /= 2**0.5  # no ReLU comes between
            self.shortcut = match if preactivate else nn.Sequential(match, make(after))
        if preactivate:
            self.branch = nn.Sequential(make(before), nn.ReLU(), one, make(after), nn.ReLU(), two)
            self.last = nn.Identity()
        else:
            self.branch = nn.Sequential(one, make(after), nn.ReLU(), two, make(after))
        self.scale = None if scale is None else nn.Parameter(two.weight.new_tensor(scale))

    def forward(self, x: Tensor) -> Tensor:
        """Return the shortcut plus the branch."""
        change = self.branch(x)
        if self.scale is not None:
            change = self.scale * change
        return self.last(self.shortcut(x) + change)


class ResNet(nn.Module):
    """A residual network for small images [N, channels, H, W]; returns logits [N, num_classes].

    Args:
        depth: 6n + 2 layers with weights: n blocks in each of three stages, first and last layer.
        norm: makes the normalization layers from a number of channels; None means none.
        widths: channels of the three stages; the second and third halve height and width.
        zero_init_residual: the last layer of each branch, a norm or a convolution, begins with zero
            as its weight.
        preactivate: norm and ReLU stand before each convolution.
        scale: first value of a learned factor of each branch; None means no factor.
        channels: image channels, 3 for colour.
        num_classes: number of logits.

    Raises:
        ValueError: `depth` is not 8, 14, 20, ...

    Source: He et al. 2016, for CIFAR-10; shortcuts that change shape are convolutions, as in
    torchvision.
    """

    def __init__(
        self,
        depth: int = 8,
        norm: Norm | None = None,
        *,
        widths: Sequence[int] = (16, 32, 64),
        zero_init_residual: bool = False,
        preactivate: bool = False,
        scale: float | None = None,
        channels: int = 3,
        num_classes: int = 10,
    ) -> None:
        super().__init__()
        if depth < 8 or depth % 6 != 2:
            raise ValueError(f"depth={depth} is not 6n + 2: pass 8, 14, 20, ...")
        options = {"norm": norm, "preactivate": preactivate, "scale": scale}
        ends = lambda width: [*([norm(width)] if norm else []), nn.ReLU()]  # noqa: E731
        before, blocks = widths[0], []
        first = he_conv(channels, before, 3, bias=norm is None)
        self.stem = nn.Sequential(first, *([] if preactivate else ends(before)))
        for stage, after in enumerate(widths):
            for i in range(depth // 6):
                stride = 2 if stage > 0 and i == 0 else 1
                blocks.append(ResidualBlock(before, after, stride, **options))
                before = after
        self.blocks = nn.Sequential(*blocks)
        pool = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, num_classes)
        self.head = nn.Sequential(*(ends(before) if preactivate else []), *pool)
        if zero_init_residual:
            for block in blocks:
                last = [layer for layer in block.branch if hasattr(layer, "weight")][-1]
                nn.init.zeros_(last.weight)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits [N, num_classes] for float images [N, channels, H, W]."""
        return self.head(self.blocks(self.stem(images)))


class Attention(nn.Module):
    """Causal self-attention: every step of [N, T, width] looks at itself and the steps before it.

    Args:
        width: number of features; `heads` must divide it.
        heads: number of heads.
        qk_norm: makes the norm of the queries and that of the keys, from the features of a head;
            None means none.
    """

    def __init__(self, width: int, heads: int, qk_norm: Norm | None = None) -> None:
        super().__init__()
        make = nn.Identity if qk_norm is None else qk_norm
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.q_norm, self.k_norm = make(width // heads), make(width // heads)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return [N, T, width] for [N, T, width]."""
        heads = self.qkv(x).unflatten(2, (3, self.heads, -1))  # [N, T, 3, heads, D]
        q, k, v = heads.permute(2, 0, 3, 1, 4)  # each [N, heads, T, D]
        q, k = self.q_norm(q), self.k_norm(k)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(mixed.transpose(1, 2).flatten(2))


class TransformerBlock(nn.Module):
    """Attention, then an MLP of four times the width, each added to its input.

    Args:
        width: number of features.
        heads: number of heads of the attention.
        norm: makes a norm from the number of features; None means none.
        place: "pre" normalizes what a branch reads, "post" the sum behind it.
        qk_norm: as in `Attention`.

    Raises:
        ValueError: there is no such place.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        norm: Norm | None = nn.LayerNorm,
        place: str = "pre",
        qk_norm: Norm | None = None,
    ) -> None:
        if place not in ("pre", "post"):
            raise ValueError(f"place is {place!r}: choose 'pre' or 'post'")
        super().__init__()
        make = nn.Identity if norm is None else norm
        self.place = place
        self.attention = Attention(width, heads, qk_norm)
        hidden = nn.Linear(width, 4 * width), nn.ReLU()
        self.mlp = nn.Sequential(*hidden, nn.Linear(4 * width, width))
        self.norms = nn.ModuleList([make(width), make(width)])

    def forward(self, x: Tensor) -> Tensor:
        """Return [N, T, width] for [N, T, width]."""
        branches = self.attention, self.mlp
        for norm, branch in zip(self.norms, branches, strict=True):
            pre = self.place == "pre"
            x = x + branch(norm(x)) if pre else norm(x + branch(x))
        return x


class Transformer(nn.Module):
    """A small language model: logits of the next token for every step of a text.

    The linear layers start as in `nn.Transformer`, by Glorot's rule, with biases of zero.

    Args:
        vocabulary: number of different tokens.
        norm: makes a norm from the number of features; None means none.
        place: of the norms in a block, "pre" or "post", see `TransformerBlock`.
        final_norm: with "pre", put a norm before the head; with "post" there is one already.
        width: number of features.
        depth: number of blocks.
        heads: number of heads of each attention.
        context: largest number of tokens of a text.
        qk_norm: as in `Attention`.
    """

    def __init__(
        self,
        vocabulary: int,
        norm: Norm | None = nn.LayerNorm,
        place: str = "pre",
        final_norm: bool = True,
        width: int = 32,
        depth: int = 2,
        heads: int = 4,
        context: int = 32,
        qk_norm: Norm | None = None,
    ) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(context, width)
        block = width, heads, norm, place, qk_norm
        self.blocks = nn.Sequential(*[TransformerBlock(*block) for _ in range(depth)])
        last = norm is not None and final_norm and place == "pre"
        self.final_norm = norm(width) if last else nn.Identity()
        self.head = nn.Linear(width, vocabulary)
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, text: Tensor) -> Tensor:
        """Return logits [N, T, vocabulary] for tokens int64 [N, T]."""
        x = self.tokens(text) + self.positions.weight[: text.shape[1]]  # [N, T, width]
        return self.head(self.final_norm(self.blocks(x)))
