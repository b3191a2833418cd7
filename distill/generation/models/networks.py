"""The contract of generators and discriminators, and the networks by name; each is one file and one line here."""

from abc import ABC, abstractmethod
from importlib import import_module
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from stiefel.errors import UnknownNameError

NETWORKS: dict[str, str] = {
    "biggan": "distill.generation.models.biggan:cifar",
    "biggan_digits": "distill.generation.models.biggan:digits",
    "stylegan2": "distill.generation.models.stylegan2:large",
    "stylegan2_small": "distill.generation.models.stylegan2:small",
}


class Judgement(NamedTuple):
    """What a discriminator says of images.

    logits: above 0 for real. feature: its pooled penultimate feature, which is distilled.
    """

    logits: Float[Tensor, "batch"]
    feature: Float[Tensor, "batch dim"]


class Generator(nn.Module, ABC):
    """Makes images out of normal latents.

    latent_dim: entries of a latent. classes: 0 where images have none. image_size: edge in pixels.
    """

    latent_dim: int
    classes: int
    image_size: int

    @abstractmethod
    def forward(
        self,
        latent: Float[Tensor, "batch latent"],
        labels: Int[Tensor, "batch"] | None,
        *,
        drawn: torch.Generator | None = None,
    ) -> Float[Tensor, "batch channels size size"]:
        """Return images in −1 … 1, of these classes where there are classes.

        drawn: what a training step draws beside the latent, such as StyleGAN2's noise and mixed styles; without it
        an image is a function of its latent and label.
        """


class StyledGenerator(Generator):
    """A generator whose latents become styles, one a layer, by whose lengths it can be regularised."""

    def forward(
        self,
        latent: Float[Tensor, "batch latent"],
        labels: Int[Tensor, "batch"] | None,
        *,
        drawn: torch.Generator | None = None,
    ) -> Float[Tensor, "batch channels size size"]:
        return self.synthesise(self.styles(latent, drawn=drawn), drawn=drawn)

    @abstractmethod
    def styles(
        self, latent: Float[Tensor, "batch latent"], *, drawn: torch.Generator | None = None
    ) -> Float[Tensor, "batch layers style"]:
        """Return a style a layer; with `drawn`, some of another latent's."""

    @abstractmethod
    def synthesise(
        self, styles: Float[Tensor, "batch layers style"], *, drawn: torch.Generator | None = None
    ) -> Float[Tensor, "batch channels size size"]:
        """Return the images of styles; with `drawn`, with new noise."""


class Discriminator(nn.Module, ABC):
    """Judges images.

    feature_dim: width of the feature that is distilled. is_batch_aware: whether what is said of an image depends on
    the others of its batch; then real and generated ones are judged apart.
    """

    feature_dim: int
    is_batch_aware: bool = False

    @abstractmethod
    def forward(
        self, images: Float[Tensor, "batch channels size size"], labels: Int[Tensor, "batch"] | None
    ) -> Judgement:
        """Return logits and features of images in −1 … 1, as images of these classes where there are classes."""


def names() -> list[str]:
    """Return the names that `build` knows."""
    return sorted(NETWORKS)


def build(name: str, classes: int, image_size: int, channels: int) -> tuple[Generator, Discriminator]:
    """Return the untrained networks called `name`, for images of a number of classes, a size and channels.

    Raises: UnknownNameError with the valid names; ModelError if the networks aren't made for that size.
    """
    if name not in NETWORKS:
        raise UnknownNameError("networks", name, NETWORKS)
    module, _, maker = NETWORKS[name].partition(":")
    return getattr(import_module(module), maker)(classes, image_size, channels)
