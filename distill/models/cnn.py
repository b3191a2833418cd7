"""A small convolutional teacher: its inductive bias is what the transformer student lacks."""

from jaxtyping import Float
from torch import Tensor, nn


class ConvNet(nn.Module):
    """Three stages of two 3 × 3 convolutions, batch norm and ReLU; the second and third halve the image.

    feature_dim: width of the pooled feature, 4 × width.
    """

    def __init__(self, *, channels: int, classes: int, width: int):
        super().__init__()
        self.feature_dim = 4 * width
        widths = (channels, width, 2 * width, 4 * width)
        self.stages = nn.Sequential(
            *(_stage(widths[i], widths[i + 1], stride=1 if i == 0 else 2) for i in range(len(widths) - 1))
        )
        self.classifier = nn.Linear(self.feature_dim, classes)

    def features(self, pixels: Float[Tensor, "batch c h w"]) -> Float[Tensor, "batch dim"]:
        """Return the feature pooled over the image, what a student distils."""
        return self.stages(pixels).mean((-2, -1))

    def forward(self, pixels: Float[Tensor, "batch c h w"]) -> Float[Tensor, "batch classes"]:
        return self.classifier(self.features(pixels))


def _stage(before: int, after: int, *, stride: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
        nn.Conv2d(after, after, 3, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    )
