"""Knowledge distillation with orthogonal projections (VkD), usable alone in any training loop."""

from distill.distillation import FeatureDistillation
from distill.errors import DistillError
from distill.projector import Projector

__all__ = ["DistillError", "FeatureDistillation", "Projector"]
