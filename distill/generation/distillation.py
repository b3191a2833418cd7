"""What a discriminator learns from a frozen teacher of images, on real and on generated ones.

distillation = VkD(feature_dim, encoder.dim, config)
terms = distillation(Both(judged_real.feature, judged_fake.feature), Both(encoder(real), encoder(fake)))
loss = loss + sum(terms.values())
"""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from distill.distillation import FeatureDistillation
from distill.errors import RecipeError
from distill.generation.config import GenerationConfig
from distill.normalise import Whiten
from distill.projector import Projector

_HIDDEN = 1024  # of KD-DLGAN's head: two linear layers without anything between


class Both(NamedTuple):
    """Features of a batch of real images and of a batch of generated ones."""

    real: Float[Tensor, "batch dim"]
    fake: Float[Tensor, "batch dim"]


class Distillation(nn.Module, ABC):
    """A loss between a discriminator's features and its teacher's."""

    @abstractmethod
    def forward(self, student: Both, teacher: Both) -> dict[str, Float[Tensor, ""]]:
        """Return the loss's weighted terms by name; gradients flow into the discriminator's features alone."""

    @abstractmethod
    def parts(self) -> dict[str, list[nn.Module]]:
        """Return the modules whose share of a step's cost is told apart."""

    def figures(self) -> dict[str, float]:
        """Return what is worth knowing of the distillation's own state."""
        return {}


class VkD(Distillation):
    """The discriminator's feature, projected orthogonally, against the normalised teacher's; real and fake together.

    Both are normalised as one batch, so that whitening, if it is chosen, doesn't take the difference between real and
    generated images away.
    Source: Miles et al., "VkD", CVPR 2024; which statistics its whitening took is published nowhere.
    """

    def __init__(self, student_dim: int, teacher_dim: int, config: GenerationConfig):
        super().__init__()
        self.alpha = config.alpha
        is_whitened = config.normalise == "whiten"
        self.distillation = FeatureDistillation(
            student_dim,
            teacher_dim,
            projector=config.projector,
            by=config.parameterisation,
            normalise=whitening(config, teacher_dim) if is_whitened else config.normalise,
            loss=config.loss,
        )

    def forward(self, student: Both, teacher: Both) -> dict[str, Float[Tensor, ""]]:
        return {"feature_loss": self.alpha * self.distillation(torch.cat(student), torch.cat(teacher))}

    def parts(self) -> dict[str, list[nn.Module]]:
        return {"projector": [self.distillation.projector], "normalise": [self.distillation.normalise]}

    def figures(self) -> dict[str, float]:
        """Return the projector's defect, and the effective rank of the features that are whitened."""
        projector, normalise = self.distillation.projector, self.distillation.normalise
        figures = {"defect": projector.defect()} if isinstance(projector, Projector) else {}
        return figures | ({"teacher_rank": normalise.effective_rank} if isinstance(normalise, Whiten) else {})


class KDDLGANDistillation(Distillation):
    """KD-DLGAN's losses on a linear head of the discriminator's features, with its code's weights, times alpha.

    aggregated: ‖h − t‖, mean over the batch, of every pairing of real and fake heads h and teacher's features t (a
    head of real images is drawn to its teacher's real and fake features both). correlated: Σ‖c(h) − c(t)‖² over the
    batch, c the correlations with the classes' texts, of unit length. diversity: minus the mean ‖c(h) − c(h')‖² of two
    generated images, at most 4; the released term, of the teacher's c, has no gradient, so there it changes nothing.

    texts: a feature a class in the teacher's space, of texts or of what stands in for them.
    Source: Cui et al., "KD-DLGAN: Data Limited Image Generation via Knowledge Distillation", CVPR 2023.
    """

    def __init__(self, student_dim: int, texts: Float[Tensor, "classes dim"], config: GenerationConfig):
        super().__init__()
        self.head = nn.Sequential(nn.Linear(student_dim, _HIDDEN), nn.Linear(_HIDDEN, texts.shape[1]))
        self.alpha, self.weights = config.alpha, config.kd_dlgan
        self.register_buffer("texts", texts.detach())
        self.texts: Tensor

    def forward(self, student: Both, teacher: Both) -> dict[str, Float[Tensor, ""]]:
        heads, known = [self.head(each) for each in student], [each.detach() for each in teacher]
        aggregated = torch.stack([(head - each).norm(dim=1).mean() for head in heads for each in known]).sum()
        of_student, of_teacher = (torch.cat([self._correlations(each) for each in both]) for both in (heads, known))
        correlated = (of_student - of_teacher).pow(2).sum()
        spread = _spread(self._correlations(heads[1]))
        terms = {
            "aggregated_loss": (self.weights.aggregated, aggregated),
            "correlated_loss": (self.weights.correlated, correlated),
            "diversity_loss": (-self.weights.diversity, spread),
        }
        return {name: self.alpha * weight * term for name, (weight, term) in terms.items() if weight}

    def parts(self) -> dict[str, list[nn.Module]]:
        return {"projector": [self.head]}

    def _correlations(self, features: Tensor) -> Float[Tensor, "batch classes"]:
        return functional.normalize(features @ self.texts.T)


def whitening(config: GenerationConfig, dim: int) -> Whiten:
    """Return the recipe's whitening of features of a width."""
    keys = config.whitening
    return Whiten(dim, shrinkage=keys.shrinkage, momentum=keys.momentum, groups=keys.groups)


def _spread(rows: Float[Tensor, "n dim"]) -> Float[Tensor, ""]:
    """Return the mean squared distance of two different rows of unit length: by their sum, in n·dim operations."""
    count = len(rows)
    return 2 * (count - rows.sum(0).pow(2).sum() / count) / max(1, count - 1)


def build(
    config: GenerationConfig, student_dim: int, teacher_dim: int, texts: Float[Tensor, "classes dim"] | None = None
) -> Distillation | None:
    """Return the distillation of a recipe for features of these widths, None for none.

    texts: KD-DLGAN's, as `teachers.texts_of` gives them.
    """
    if config.alpha == 0:
        return None
    if config.distillation == "vkd":
        return VkD(student_dim, teacher_dim, config)
    if texts is None:
        raise RecipeError("distillation", "kd_dlgan with features of the classes' texts", "none")
    return KDDLGANDistillation(student_dim, texts, config)
