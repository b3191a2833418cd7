"""Residual blocks of BigGAN's networks, with spectral norm on every convolution and linear map."""

from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

# BigGAN's N02: every weight from N(0, 0.02²).
_DEVIATION = 0.02


def initialise(module: nn.Module) -> None:
    """Draw every convolution's, linear map's and embedding's weight from N(0, 0.02²); before spectral norms."""
    for each in module.modules():
        if isinstance(each, nn.Conv2d | nn.Linear | nn.Embedding):
            nn.init.normal_(each.weight, std=_DEVIATION)


def normalise_spectra(module: nn.Module, kinds: tuple[type[nn.Module], ...]) -> None:
    """Divide the weights of modules of these kinds by their largest singular value, one power iteration a pass."""
    for each in list(module.modules()):
        if isinstance(each, kinds):
            spectral_norm(each)


class ConditionalNorm(nn.Module):
    """Batch norm with a gain and an offset for each class; with 0 classes, one pair for all."""

    def __init__(self, width: int, classes: int):
        super().__init__()
        self.norm = nn.BatchNorm2d(width, affine=False)
        self.gain, self.offset = (nn.Embedding(max(1, classes), width) for _ in range(2))

    def forward(
        self, maps: Float[Tensor, "batch width h w"], labels: Int[Tensor, "batch"]
    ) -> Float[Tensor, "batch width h w"]:
        gain, offset = (each(labels)[:, :, None, None] for each in (self.gain, self.offset))
        return self.norm(maps) * (1 + gain) + offset


class Up(nn.Module):
    """A block of the generator: doubles the edge (nearest), norm and ReLU before each of two convolutions."""

    def __init__(self, before: int, after: int, classes: int):
        super().__init__()
        self.first_norm, self.second_norm = ConditionalNorm(before, classes), ConditionalNorm(after, classes)
        self.first = nn.Conv2d(before, after, 3, padding=1)
        self.second = nn.Conv2d(after, after, 3, padding=1)
        self.shortcut = nn.Conv2d(before, after, 1)

    def forward(
        self, maps: Float[Tensor, "batch before h w"], labels: Int[Tensor, "batch"]
    ) -> Float[Tensor, "batch after h2 w2"]:
        inner = self.first(_doubled(functional.relu(self.first_norm(maps, labels))))
        # A 1 × 1 convolution and a nearest doubling commute: at the smaller size it is a quarter of the work.
        return self.second(functional.relu(self.second_norm(inner, labels))) + _doubled(self.shortcut(maps))


class Down(nn.Module):
    """A block of the discriminator: two convolutions, then halves the edge (mean) if `is_halving`.

    is_first: it reads pixels, so there is no ReLU before its first convolution.
    """

    def __init__(self, before: int, after: int, *, is_halving: bool, is_first: bool = False):
        super().__init__()
        self.is_halving, self.is_first = is_halving, is_first
        self.first = nn.Conv2d(before, after, 3, padding=1)
        self.second = nn.Conv2d(after, after, 3, padding=1)
        self.shortcut = nn.Conv2d(before, after, 1) if is_halving or before != after else nn.Identity()

    def forward(self, maps: Float[Tensor, "batch before h w"]) -> Float[Tensor, "batch after h2 w2"]:
        inner = self.second(functional.relu(self.first(maps if self.is_first else functional.relu(maps))))
        # A mean and a 1 × 1 convolution commute: the sum is halved once instead of both of its parts.
        total = inner + self.shortcut(maps)
        return functional.avg_pool2d(total, 2) if self.is_halving else total


def _doubled(maps: Tensor) -> Tensor:
    return functional.interpolate(maps, scale_factor=2, mode="nearest")
