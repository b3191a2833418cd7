"""A classifier and its cross-entropy: how a teacher learns."""

from torch import Tensor, nn
from torch.nn import functional

from distill.models import Backbone


class Supervised(nn.Module):
    """loss = cross-entropy of the class head."""

    def __init__(self, classifier: Backbone):
        super().__init__()
        self.classifier = classifier

    def logits(self, pixels: Tensor) -> Tensor:
        return self.classifier(pixels).logits

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"loss": functional.cross_entropy(self.logits(batch["pixels"]), batch["labels"])}
