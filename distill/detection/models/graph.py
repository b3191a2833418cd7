"""A detector as a graph: pixels and padding in, boxes and their logits out."""

import torch
from torch import Tensor, nn

from distill import extras
from distill.detection.models.detector import Detector
from distill.graph import Graph


def as_graph(detector: Detector, size: tuple[int, int]) -> Graph:
    """Return the graph from images of a height and width, and where they end, to a detector's last prediction."""
    inputs = {"pixels": torch.zeros(2, 3, *size), "padding": torch.zeros(2, *size, dtype=torch.bool)}
    translated = {torch.ops.aten.scaled_dot_product_attention.default: _attention}
    return Graph(type(detector).__name__, _Prediction(detector), inputs, ["logits", "boxes"], translated)


class _Prediction(nn.Module):
    def __init__(self, detector: Detector):
        super().__init__()
        self.detector = detector

    def forward(self, pixels: Tensor, padding: Tensor) -> tuple[Tensor, Tensor]:
        found = self.detector(pixels, padding)
        return found.logits[-1], found.boxes[-1]


# onnxscript 0.7's own takes four axes; windows are a fifth. Nothing is annotated, as it reads types as ONNX's.
# A detector in evaluation drops nothing, and no token of it is blind to those after it.
def _attention(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None):
    op = extras.load("onnxscript", needed_by="an ONNX file").opset18
    axes = list(range(len(query.shape)))
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    scores = op.MatMul(op.Mul(query, scale), op.Transpose(key, perm=[*axes[:-2], axes[-1], axes[-2]]))
    if attn_mask is not None:
        is_shown = attn_mask.dtype.name == "BOOL"
        scores = op.Where(attn_mask, scores, -float("inf")) if is_shown else op.Add(scores, attn_mask)
    return op.MatMul(op.Softmax(scores, axis=-1), value)
