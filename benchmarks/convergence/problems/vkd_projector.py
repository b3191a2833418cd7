"""VkD's projector alone: features of a frozen student carried to those of a frozen teacher, both trained on digits."""

from collections.abc import Iterator
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from benchmarks.convergence.problem import Problem, shuffled
from distill.data.digits import load_digits
from distill.models.cnn import ConvNet
from stiefel.errors import ShapeError

STUDENT, TEACHER, BATCH = 16, 32, 64
STEPS, LR = 60, 3e-3


class VkDProjector(Problem):
    """½ mean ‖z·Xᵀ − t‖² of student features z and standardised teacher features t, over digit images.

    P = Xᵀ has orthonormal rows, so ‖z·P‖ = ‖z‖ and the polar factor of Σ t·zᵀ minimises it: balanced Procrustes.
    """

    shape_name = "VkD's projector on real features"
    default = (TEACHER, STUDENT)
    is_stochastic = True

    def __init__(self, n: int, p: int):
        if (n, p) != (TEACHER, STUDENT):
            raise ShapeError(
                "VkD projector", f"{TEACHER} x {STUDENT}, its networks' widths", (n, p), cure="leave it out"
            )
        super().__init__(n, p)
        student, teacher = _standardised(features(STUDENT // 4)), _standardised(features(TEACHER // 4))
        # One scale for all student features: their covariance then has a norm of 1, and the loss a curvature of 1.
        self.student = student / torch.linalg.matrix_norm(student, 2) * len(student) ** 0.5
        self.teacher = teacher
        left, values, right = torch.linalg.svd(self.teacher.T @ self.student, full_matrices=False)
        self.best = left @ right
        squares = self.student.square().sum() + self.teacher.square().sum()
        self.optimum = float(squares / 2 - values.sum()) / len(self.student)

    def loss(self, point: Float[Tensor, "n p"], batch: Tensor | None = None) -> Float[Tensor, ""]:
        chosen = slice(None) if batch is None else batch
        student, teacher = self.student[chosen], self.teacher[chosen]
        return (student @ point.T - teacher).square().sum() / (2 * len(student))

    def minimiser(self) -> Float[Tensor, "n p"]:
        return self.best

    def batches(self, seed: int) -> Iterator[Tensor | None]:
        return shuffled(len(self.student), BATCH, seed)


@cache
def features(width: int) -> Float[Tensor, "images dim"]:
    """Return the pooled features, 4·width of them, of a network trained for a second on the digits' labels."""
    images, _ = load_digits()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(width)
        network = ConvNet(image_size=8, channels=1, classes=10, width=width)
    optimiser = torch.optim.Adam(network.parameters(), lr=LR)
    for _, batch in zip(range(STEPS), shuffled(len(images.labels), BATCH, 0), strict=False):
        optimiser.zero_grad()
        functional.cross_entropy(network(images.pixels[batch]).logits, images.labels[batch]).backward()
        optimiser.step()
    network.eval()
    with torch.no_grad():
        return network(images.pixels).feature.double()


def _standardised(values: Float[Tensor, "images dim"]) -> Float[Tensor, "images dim"]:
    centred = values - values.mean(0)
    # A unit that never fires stays at 0.
    return centred / centred.square().mean(0).sqrt().clamp_min(1e-6)
