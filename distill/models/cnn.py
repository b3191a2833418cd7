"""A small convolutional teacher: its inductive bias is what the transformer student lacks."""

from pathlib import Path

from jaxtyping import Float
from torch import Tensor, nn

from distill.errors import ModelError
from distill.models.backbone import Backbone, Output
from distill.models.folder import write_folder


class ConvNet(Backbone):
    """Three stages of two 3 × 3 convolutions, batch norm and ReLU; the second and third halve the image.

    feature_dim: 4 × width.
    """

    def __init__(self, *, image_size: int, channels: int, classes: int, width: int = 32):
        super().__init__()
        self.width = width
        self.feature_dim, self.image_size, self.channels, self.classes = 4 * width, image_size, channels, classes
        widths = (channels, width, 2 * width, 4 * width)
        self.stages = nn.Sequential(
            *(_stage(widths[i], widths[i + 1], stride=1 if i == 0 else 2) for i in range(len(widths) - 1))
        )
        self.classifier = nn.Linear(self.feature_dim, classes)

    def forward(self, pixels: Float[Tensor, "batch c h w"]) -> Output:
        features = self.stages(pixels)
        return Output(self.classifier(features.mean((-2, -1))), None, features)

    def classify(self, feature: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch classes"]:
        return self.classifier(feature)

    def checkpointing(self, on: bool) -> None:
        if on:  # a second forward pass would move its batch norms' running statistics twice
            raise ModelError("convnet", "it has no gradient checkpointing", cure="turn it off; it is small")

    def save(self, folder: Path | str) -> None:
        write_folder(folder, self, {"model": "convnet", "width": self.width})


def _stage(before: int, after: int, *, stride: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
        nn.Conv2d(after, after, 3, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    )
