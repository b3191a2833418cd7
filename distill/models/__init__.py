"""Students and teachers."""

from distill.models.cnn import ConvNet
from distill.models.deit import DeiT

__all__ = ["ConvNet", "DeiT"]
