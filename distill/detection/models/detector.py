"""The contract of detectors: images and where they end in, boxes of every layer and the tokens behind them out."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor, nn


@dataclass(frozen=True)
class Detections:
    """What a forward pass gives. Of `layers`, the last is the prediction; the others are for auxiliary losses.

    logits: of each class by itself, for a sigmoid; there is no class for "nothing here".
    boxes: centre x, centre y, width, height in 0 … 1 of each image WITHOUT its padding, as ViDT's.
    levels: what the neck reads, finest first: patch tokens on their grids. level_padding: their places outside the
    image. Values there are finite but mean nothing.
    body_tokens: [DET] tokens as they leave the body. neck_tokens: those that each of `layers` predicts from; a ViDT's
    first are its body_tokens.
    """

    logits: Float[Tensor, "layers batch queries classes"]
    boxes: Float[Tensor, "layers batch queries 4"]
    levels: list[Float[Tensor, "batch dim _ _"]]
    level_padding: list[Bool[Tensor, "batch _ _"]]
    body_tokens: Float[Tensor, "batch queries dim"]
    neck_tokens: Float[Tensor, "layers batch queries dim"]


class Detector(nn.Module, ABC):
    """A detector whose tokens can be distilled, as a student or a teacher.

    classes: of its heads. queries: boxes that it gives for each image. token_dim: width of [DET] tokens and levels.
    stride: pixels from place to place of the finest level, twice as many in each that follows.
    """

    classes: int
    queries: int
    token_dim: int
    stride: int

    @abstractmethod
    def forward(
        self, images: Float[Tensor, "batch 3 height width"], padding: Bool[Tensor, "batch height width"]
    ) -> Detections:
        """Return boxes, logits and tokens. padding: True outside an image, whose top left corner is the batch's."""

    @abstractmethod
    def checkpointing(self, on: bool) -> None:
        """Keep only the blocks' inputs for the backward pass and compute the rest again, or stop doing so.

        Raises: ModelError if the model can't.
        """

    def undecayed(self) -> list[nn.Parameter]:
        """Return tokens, their positions and attention's biases: no matrices whatever their shape, so undecayed."""
        names = ("det_tokens", "det_positions", "bias")
        return [each for name, each in self.named_parameters() if name.rsplit(".", 1)[-1] in names]
