"""How well a classifier does on held-out images."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from distill.data import Source
from distill.processes import Processes

# Images in one forward pass; it bounds memory and changes no result.
_BATCH = 512


@torch.no_grad()
def evaluate(
    module: nn.Module, logits: Callable[[Tensor], Tensor], images: Source, processes: Processes
) -> dict[str, float]:
    """Return accuracy and cross-entropy of `logits`, `module` in evaluation mode; each process takes its share."""
    was_training = module.training
    module.eval()
    share = images.subset(torch.arange(processes.rank, len(images), processes.world))
    figures = torch.zeros(3, dtype=torch.float64, device=processes.device)
    for batch in share.evaluation(_BATCH):
        labels = batch["labels"].to(processes.device)
        output = logits(batch["pixels"].to(processes.device)).float()
        correct = (output.argmax(-1) == labels).sum()
        loss = functional.cross_entropy(output, labels, reduction="sum")
        figures += torch.stack([correct, loss, torch.tensor(len(labels), device=labels.device)])
    module.train(was_training)
    correct, loss, count = processes.sum(figures).tolist()
    return {"accuracy": correct / count, "test_loss": loss / count}
