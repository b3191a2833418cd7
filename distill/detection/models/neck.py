"""ViDT's neck: a deformable decoder without an encoder, whose every layer predicts and moves the boxes on."""

import math
from contextlib import AbstractContextManager, nullcontext

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from distill.detection.models.config import VidtConfig
from distill.detection.models.deformable import DeformableAttention, Memory

_PRIOR = 0.01  # of any class in any box, before training: focal loss starts low
_EPS = 1e-5  # boxes stay this far from 0 and 1 where their logits are taken


class Neck(nn.Module):
    """Decoder layers and the heads of all predictions: the body's [DET] tokens', then each layer's."""

    def __init__(self, config: VidtConfig, classes: int):
        super().__init__()
        width, predictions = config.width, config.neck_layers + 1
        self.layers = nn.ModuleList(NeckLayer(config) for _ in range(config.neck_layers))
        self.reference = nn.Linear(width, 2)
        self.class_heads = nn.ModuleList(_class_head(width, classes) for _ in range(predictions))
        # The first prediction has a centre to go by and no size: it starts at 12 % of the image.
        self.box_heads = nn.ModuleList(_box_head(width, 0.0 if index else -2.0) for index in range(predictions))
        self.is_checkpointed = False
        nn.init.xavier_uniform_(self.reference.weight)

    def forward(
        self, det: Float[Tensor, "batch queries dim"], positions: Float[Tensor, "1 queries dim"], memory: Memory
    ) -> tuple[
        Float[Tensor, "layers batch queries classes"],
        Float[Tensor, "layers batch queries 4"],
        Float[Tensor, "layers batch queries dim"],
    ]:
        """Return logits, boxes and [DET] tokens of every prediction, the body's first.

        A layer looks around the boxes that the one before predicted, and predicts by how much they are off; no
        gradient flows along that chain of boxes.
        """
        tokens, boxes = [det], [self._moved(0, det, self.reference(positions).sigmoid())]
        for index, layer in enumerate(self.layers, 1):
            reference = boxes[-1].detach()
            is_checkpointed = self.is_checkpointed and torch.is_grad_enabled()
            arguments = (tokens[-1], positions, reference, memory)
            det = checkpoint(layer, *arguments, use_reentrant=False) if is_checkpointed else layer(*arguments)
            tokens.append(det)
            boxes.append(self._moved(index, det, reference))
        logits = [head(each) for head, each in zip(self.class_heads, tokens, strict=True)]
        return torch.stack(logits), torch.stack(boxes), torch.stack(tokens)

    def _moved(self, prediction: int, det: Tensor, reference: Tensor) -> Tensor:
        """Return the boxes of a prediction from a reference that is a centre (… 2) or a box (… 4).

        In float32 under autocast too: bfloat16 tells places 1/256 of the image apart, five of COCO's pixels.
        """
        with _without_autocast(det.device.type):
            wide = torch.promote_types(det.dtype, torch.float32)
            start = reference.to(wide).logit(_EPS)
            start = nn.functional.pad(start, (0, 4 - start.shape[-1]))
            return (self.box_heads[prediction](det.to(wide)) + start).sigmoid()


class NeckLayer(nn.Module):
    """[DET] tokens among themselves, then around their boxes, then an MLP; each added to its input and normed after."""

    def __init__(self, config: VidtConfig):
        super().__init__()
        width, levels = config.width, len(config.level_widths)
        self.self_attention = nn.MultiheadAttention(width, config.neck_heads, config.dropout, batch_first=True)
        self.cross_attention = DeformableAttention(width, config.neck_heads, levels, config.points)
        inner, outer = nn.Linear(width, config.neck_hidden), nn.Linear(config.neck_hidden, width)
        self.mlp = nn.Sequential(inner, nn.ReLU(), nn.Dropout(config.dropout), outer)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.dropout = nn.Dropout(config.dropout)
        for weight in (self.self_attention.out_proj.weight, inner.weight, outer.weight):
            nn.init.xavier_uniform_(weight)

    def forward(
        self,
        det: Float[Tensor, "batch queries dim"],
        positions: Float[Tensor, "1 queries dim"],
        boxes: Float[Tensor, "batch queries 4"],
        memory: Memory,
    ) -> Float[Tensor, "batch queries dim"]:
        asked = det + positions
        found, _ = self.self_attention(asked, asked, det, need_weights=False)
        det = self.norms[0](det + self.dropout(found))
        det = self.norms[1](det + self.dropout(self.cross_attention(det + positions, boxes, memory)))
        return self.norms[2](det + self.dropout(self.mlp(det)))


def _without_autocast(kind: str) -> AbstractContextManager[object]:
    """Switch autocast off, if it is on; devices such as meta have none."""
    is_on = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
    return torch.autocast(kind, enabled=False) if is_on else nullcontext()


def _class_head(width: int, classes: int) -> nn.Linear:
    head = nn.Linear(width, classes)
    nn.init.constant_(head.bias, math.log(_PRIOR / (1 - _PRIOR)))
    return head


def _box_head(width: int, size: float) -> nn.Sequential:
    """Return the MLP from a token to a change of its box's logits; before training a constant, of width and height."""
    last = nn.Linear(width, 4)
    nn.init.zeros_(last.weight)
    with torch.no_grad():
        last.bias.copy_(torch.tensor([0.0, 0.0, size, size]))
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), last)
