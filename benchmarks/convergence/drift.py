"""How far methods drift off the manifold: noise for a gradient, float32, the defect after powers of ten of steps."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

import stiefel
from benchmarks.convergence import methods
from benchmarks.convergence.problem import Problem, generator
from benchmarks.convergence.watch import FinishedError, Limit, Watch

SHAPE, LR, DRAWS = (16, 4), 0.01, 64


class Noise(Problem):
    """⟨G, X⟩ with another Gaussian G at every step: nowhere to converge to, and never a small gradient."""

    shape_name = "noise"
    default = SHAPE
    is_stochastic = True

    def __init__(self, n: int, p: int):
        super().__init__(n, p)
        self.gradients = torch.randn(DRAWS, n, p, dtype=torch.float64, generator=generator(0, 2))

    def loss(self, point: Float[Tensor, "n p"], batch: Tensor | None = None) -> Float[Tensor, ""]:
        return (self.gradients[0 if batch is None else int(batch)] * point).sum()

    def minimiser(self) -> Float[Tensor, "n p"]:
        return -stiefel.nearest_point(self.gradients[0])

    def batches(self, seed: int) -> Iterator[Tensor | None]:
        return itertools.cycle(torch.arange(DRAWS))


@dataclass
class DriftWatch(Watch):
    """Looks at the defect of steps 1, 10, 100, … and at nothing else."""

    defects: dict[int, float] = field(default_factory=dict)

    def look(self, point: Callable[[], Tensor], *, is_step: bool = True) -> None:
        self.iteration += is_step
        if set(str(self.iteration)[1:]) <= {"0"} and str(self.iteration)[0] == "1":
            self.defects[self.iteration] = float(stiefel.residual(point().detach()))
        if self._is_over():
            raise FinishedError("finished")


def candidates() -> list[str]:
    """Return the methods that claim to stay on the manifold, with one optimiser of each kind."""
    point = torch.zeros(SHAPE)
    return [
        name
        for name, method in methods.registered().items()
        if not method.is_deterministic and method.defect(point) < float("inf") and name.endswith("SGD")
    ]


def measure(name: str, steps: int) -> dict[str, Any]:
    """Return the defect after each power of ten of steps, up to `steps`, in units of n·eps of float32."""
    torch.set_num_threads(1)
    problem = Noise(*SHAPE)
    watch = DriftWatch(problem.working, None, Limit(iterations=steps))
    status = "finished"
    try:
        methods.get(name).run(watch, problem.start(1).float(), lr=LR, seed=1)
    except FinishedError:
        pass
    except Exception as error:
        status = f"crashed: {type(error).__name__}: {error}"
    unit = SHAPE[0] * torch.finfo(torch.float32).eps
    return {"status": status, "defects": {str(step): defect / unit for step, defect in watch.defects.items()}}
