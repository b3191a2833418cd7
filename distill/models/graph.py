"""A classifier as a graph: pixels in, logits out."""

import torch
from torch import Tensor, nn

from distill.graph import Graph
from distill.models.backbone import Backbone


def as_graph(model: Backbone) -> Graph:
    """Return the graph from pixels to a model's logits, and those of its distillation head if it has one."""
    pixels = torch.zeros(2, model.channels, model.image_size, model.image_size)
    has_two_heads = model.eval()(pixels[:1]).distillation_logits is not None
    heads = ["logits", "distillation_logits"][: 1 + has_two_heads]
    return Graph(type(model).__name__, _Logits(model), {"pixels": pixels}, heads)


class _Logits(nn.Module):
    def __init__(self, model: Backbone):
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        output = self.model(pixels)
        second = output.distillation_logits
        return (output.logits,) if second is None else (output.logits, second)
