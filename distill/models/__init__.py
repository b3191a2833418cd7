"""Students and teachers."""

from distill.models.backbone import Backbone, Normalisation, Output
from distill.models.cnn import ConvNet
from distill.models.deit import DeiT
from distill.models.registry import MODELS, PRETRAINED, build, check, from_pretrained

__all__ = [
    "MODELS",
    "PRETRAINED",
    "Backbone",
    "ConvNet",
    "DeiT",
    "Normalisation",
    "Output",
    "build",
    "check",
    "from_pretrained",
]
