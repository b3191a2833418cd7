"""BigGAN at the sizes of CIFAR's images and of the digits, class-conditional or not.

Source: Brock, Donahue & Simonyan, ICLR 2019, with the settings of their published CIFAR runs: no self-attention, no
shared embedding, no hierarchical latent, N(0, 0.02²) first weights.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from distill.errors import ModelError
from distill.generation.models.blocks import Down, Up, initialise, normalise_spectra
from distill.generation.models.networks import Discriminator, Generator, Judgement


def cifar(classes: int, image_size: int, channels: int) -> tuple[Generator, Discriminator]:
    """Return BigGAN of its CIFAR runs: 256 channels (64 · 4) throughout, 4.30 M and 4.21 M parameters at 10 classes."""
    return (
        BigGANGenerator(classes, image_size, channels, width=256, latent_dim=128, start=4),
        BigGANDiscriminator(classes, channels, width=256, halvings=2),
    )


def digits(classes: int, image_size: int, channels: int) -> tuple[Generator, Discriminator]:
    """Return BigGAN for images of 8 or 16 pixels: a step in tens of milliseconds on one CPU core."""
    return (
        BigGANGenerator(classes, image_size, channels, width=32, latent_dim=32, start=4),
        BigGANDiscriminator(classes, channels, width=32, halvings=1),
    )


class BigGANGenerator(Generator):
    """A linear map to `start` × `start` places, then blocks that double the edge up to the image's."""

    def __init__(self, classes: int, image_size: int, channels: int, *, width: int, latent_dim: int, start: int):
        super().__init__()
        doublings = (image_size // start).bit_length() - 1
        if doublings < 1 or start << doublings != image_size:
            reason = f"expected images of {2 * start}, {4 * start}, {8 * start} … pixels, got {image_size}"
            raise ModelError("biggan", reason, cure="set data.image_size to one of these")
        self.latent_dim, self.classes, self.image_size, self.start = latent_dim, classes, image_size, start
        self.linear = nn.Linear(latent_dim, width * start * start)
        self.blocks = nn.ModuleList(Up(width, width, classes) for _ in range(doublings))
        self.norm = nn.BatchNorm2d(width)
        self.pixels = nn.Conv2d(width, channels, 3, padding=1)
        initialise(self)
        normalise_spectra(self, (nn.Conv2d, nn.Linear))

    def forward(
        self,
        latent: Float[Tensor, "batch latent"],
        labels: Int[Tensor, "batch"] | None,
        *,
        drawn: torch.Generator | None = None,
    ) -> Float[Tensor, "batch channels size size"]:
        if labels is None:
            labels = torch.zeros(len(latent), dtype=torch.long, device=latent.device)
        maps = self.linear(latent).unflatten(1, (-1, self.start, self.start))
        for block in self.blocks:
            maps = block(maps, labels)
        return self.pixels(functional.relu(self.norm(maps))).tanh()


class BigGANDiscriminator(Discriminator):
    """Four blocks, of which the first `halvings` halve the edge; features are summed over places.

    logits = linear(feature) + ⟨embedding of the class, feature⟩ (Miyato & Koyama's projection, ICLR 2018).
    """

    def __init__(self, classes: int, channels: int, *, width: int, halvings: int):
        super().__init__()
        self.feature_dim = width
        first = Down(channels, width, is_halving=True, is_first=True)
        self.blocks = nn.Sequential(first, *(Down(width, width, is_halving=i < halvings) for i in range(1, 4)))
        self.linear = nn.Linear(width, 1)
        self.embedding = nn.Embedding(classes, width) if classes else None
        initialise(self)
        normalise_spectra(self, (nn.Conv2d, nn.Linear, nn.Embedding))

    def forward(
        self, images: Float[Tensor, "batch channels size size"], labels: Int[Tensor, "batch"] | None
    ) -> Judgement:
        feature = functional.relu(self.blocks(images)).sum((-2, -1))
        logits = self.linear(feature)[:, 0]
        if self.embedding is not None:
            logits = logits + (self.embedding(labels) * feature).sum(-1)
        return Judgement(logits, feature)
