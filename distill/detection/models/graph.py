"""A detector as a graph: pixels and padding in, boxes and their logits out."""

import torch
from torch import Tensor, nn

from distill.detection.models.detector import Detector
from distill.graph import Graph


def as_graph(detector: Detector, size: tuple[int, int]) -> Graph:
    """Return the graph from images of a height and width, and where they end, to a detector's last prediction.

    Leave the weights trainable, on the CPU: windows then attend by plain products (`attention.attend`), and onnxscript
    0.7 has no fused attention of their five axes.
    """
    inputs = {"pixels": torch.zeros(2, 3, *size), "padding": torch.zeros(2, *size, dtype=torch.bool)}
    return Graph(type(detector).__name__, _Prediction(detector), inputs, ["logits", "boxes"])


class _Prediction(nn.Module):
    def __init__(self, detector: Detector):
        super().__init__()
        self.detector = detector

    def forward(self, pixels: Tensor, padding: Tensor) -> tuple[Tensor, Tensor]:
        found = self.detector(pixels, padding)
        return found.logits[-1], found.boxes[-1]
