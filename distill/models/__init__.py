"""Students and teachers."""

from distill.models.backbone import Backbone, Output
from distill.models.cnn import ConvNet
from distill.models.deit import DeiT

__all__ = ["Backbone", "ConvNet", "DeiT", "Output"]
