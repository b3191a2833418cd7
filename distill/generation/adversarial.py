"""What a discriminator and a generator play for: losses of logits, above 0 for real, and penalties on gradients."""

import math
from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from distill.processes import average_over_processes
from stiefel.errors import UnknownNameError

# Of a path's mean length, for the newest batch.
_MOMENTUM = 0.01


class Stakes(ABC):
    """Both players' losses. silent: the discriminator's where all its logits are 0."""

    silent: float

    @abstractmethod
    def discriminator(self, real: Float[Tensor, "batch"], fake: Float[Tensor, "batch"]) -> Float[Tensor, ""]:
        """Return the loss of one who tells real from fake."""

    @abstractmethod
    def generator(self, fake: Float[Tensor, "batch"]) -> Float[Tensor, ""]:
        """Return the loss of one whose fakes are to be taken for real."""


class Hinge(Stakes):
    """max(0, 1 − real) + max(0, 1 + fake) against −fake (Lim & Ye 2017; BigGAN's)."""

    silent = 2.0

    def discriminator(self, real: Float[Tensor, "batch"], fake: Float[Tensor, "batch"]) -> Float[Tensor, ""]:
        return functional.relu(1 - real).mean() + functional.relu(1 + fake).mean()

    def generator(self, fake: Float[Tensor, "batch"]) -> Float[Tensor, ""]:
        return -fake.mean()


class Logistic(Stakes):
    """log(1 + e^−real) + log(1 + e^fake) against the non-saturating log(1 + e^−fake) (StyleGAN2's)."""

    silent = 2 * math.log(2)

    def discriminator(self, real: Float[Tensor, "batch"], fake: Float[Tensor, "batch"]) -> Float[Tensor, ""]:
        return functional.softplus(-real).mean() + functional.softplus(fake).mean()

    def generator(self, fake: Float[Tensor, "batch"]) -> Float[Tensor, ""]:
        return functional.softplus(-fake).mean()


STAKES: dict[str, type[Stakes]] = {"hinge": Hinge, "logistic": Logistic}


def build(name: str) -> Stakes:
    """Return the losses called `name`.

    Raises: UnknownNameError with the valid names.
    """
    if name not in STAKES:
        raise UnknownNameError("game", name, STAKES)
    return STAKES[name]()


def gradient_penalty(logits: Float[Tensor, "batch"], images: Float[Tensor, "batch channels h w"]) -> Float[Tensor, ""]:
    """Return R1: ½·mean ‖∂ logit / ∂ image‖² over real images, which must require gradients.

    Source: Mescheder et al., "Which training methods for GANs do actually converge?", ICML 2018.
    """
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.square().sum((1, 2, 3)).mean() / 2


def path_lengths(
    images: Float[Tensor, "batch channels h w"], styles: Float[Tensor, "batch layers style"], noise: Tensor
) -> Float[Tensor, "batch"]:
    """Return how long an image's step is for a unit step of its styles: ‖Jᵀ·noise/√(h·w)‖, root mean over layers.

    noise: normal, of the images' shape. Source: Karras et al., CVPR 2020, section 3.2.
    """
    pixels = images.shape[-2] * images.shape[-1]
    (gradient,) = torch.autograd.grad((images * noise).sum() / math.sqrt(pixels), styles, create_graph=True)
    return gradient.square().sum(2).mean(1).sqrt()


def path_penalty(lengths: Float[Tensor, "batch"], mean: Float[Tensor, ""]) -> Float[Tensor, ""]:
    """Return the mean squared deviation of path lengths from their running mean, which moves towards theirs.

    Of several processes' slices it moves towards the whole batch's.
    """
    lengths = lengths.float()  # autocast gives bfloat16, in which a deviation of 1/256 of the mean is none
    mean.lerp_(average_over_processes(lengths.detach().mean()), _MOMENTUM)
    return (lengths - mean).square().mean()
