"""Methods that are a torch optimiser stepping a tensor: all but pymanopt's."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from benchmarks.convergence.method import Method
from benchmarks.convergence.problem import Problem, value_and_gradient
from benchmarks.convergence.watch import Watch

# The length of a probe's step: its curvature is an error of PROBE, rounding one of eps/PROBE.
PROBE = 1e-7


class Weight(ABC):
    """A trained tensor and the point that it stands for."""

    trained: Tensor

    @abstractmethod
    def point(self) -> Float[Tensor, "n p"]:
        """Return the point, differentiable by `trained`; `trained` itself where the parameter is the point."""

    def penalty(self, point: Float[Tensor, "n p"]) -> tuple[float, Tensor] | None:
        """Return what is added to the loss, with its derivative."""
        return None

    def after_step(self) -> None:
        """Do what belongs after an optimiser's step."""
        return


AnyWeight = TypeVar("AnyWeight", bound=Weight)


class Trained(Method, Generic[AnyWeight]):
    """A weight under an optimiser.

    A line search asks for values through a closure; the other optimisers get a gradient and step.
    """

    @abstractmethod
    def make_weight(self, start: Float[Tensor, "n p"]) -> AnyWeight:
        """Return the weight at a point."""

    @abstractmethod
    def stepper(self, weight: AnyWeight, lr: float) -> torch.optim.Optimizer:
        """Return the optimiser of the weight."""

    @abstractmethod
    def plain(self, weight: AnyWeight, lr: float) -> torch.optim.Optimizer:
        """Return the optimiser without memory whose step a probe takes: gradient descent as this family has it."""

    def run(self, watch: Watch, start: Float[Tensor, "n p"], *, lr: float, seed: int) -> None:
        weight = self.make_weight(start)
        optimiser = self.stepper(weight, lr)
        closure = _Closure(watch.value_and_gradient, weight)
        watch.look(weight.point, is_step=False)
        for batch in watch.problem.batches(seed):
            watch.go()
            if self.is_deterministic:
                closure.is_opening = True
                optimiser.step(closure)
            else:
                closure.evaluate(batch)
                optimiser.step()
            weight.after_step()
            watch.halt()
            watch.look(weight.point)

    def probe(self, problem: Problem, point: Float[Tensor, "n p"]) -> Float[Tensor, "n p"]:
        weight = self.make_weight(point)
        optimiser = self.plain(weight, PROBE)
        before = weight.point().detach().clone()
        _Closure(partial(value_and_gradient, problem), weight).evaluate(None)
        optimiser.step()
        return (weight.point().detach() - before) / PROBE


class _Closure:
    """The loss at the weight, its gradient left in `trained.grad`.

    A line search ends at a point that it has evaluated, and the next step begins by evaluating it again (torch's
    L-BFGS does so whenever `step` is called). A user lets it take many iterations in one call; here every iteration
    ends in a look, so the first value of a step is taken from the last one's.
    """

    def __init__(self, evaluate: Callable[[Tensor, Tensor | None], tuple[float, Tensor]], weight: Weight):
        self._evaluate, self._weight = evaluate, weight
        self._seen: deque[tuple[Tensor, float, Tensor]] = deque(maxlen=10)
        self.is_opening = False

    def __call__(self) -> float:
        trained = self._weight.trained
        if self.is_opening:
            self.is_opening = False
            for at, value, gradient in reversed(self._seen):
                if torch.equal(at, trained):
                    trained.grad = gradient
                    return value
        value = self.evaluate(None)
        assert trained.grad is not None
        self._seen.append((trained.detach().clone(), value, trained.grad))
        return value

    def evaluate(self, batch: Tensor | None) -> float:
        """Evaluate the loss and leave its gradient."""
        trained = self._weight.trained
        trained.grad = None
        with torch.enable_grad():
            point = self._weight.point()
            value, gradient = self._evaluate(point, batch)
            penalty = self._weight.penalty(point.detach())
            if penalty is not None:
                value, gradient = value + penalty[0], gradient + penalty[1]
            if point is trained:
                trained.grad = gradient
            else:
                point.backward(gradient)
        return value


MOMENTUM, HISTORY, TRIALS = 0.9, 5, 25


def euclidean(name: str, trained: Tensor, lr: float) -> torch.optim.Optimizer:
    """Return torch's SGD with momentum, its Adam, or its L-BFGS with the strong Wolfe line search."""
    if name == "sgd":
        return torch.optim.SGD([trained], lr=lr, momentum=MOMENTUM)
    if name == "adam":
        return torch.optim.Adam([trained], lr=lr)
    # No tolerance: the watch decides when a run is over.
    return torch.optim.LBFGS(
        [trained],
        max_iter=1,
        max_eval=1 + TRIALS,  # shared with the line search, which torch's default of max_iter·5/4 would leave none
        history_size=HISTORY,
        tolerance_grad=0.0,
        tolerance_change=0.0,
        line_search_fn="strong_wolfe",
    )


OPTIMISERS = {"sgd": "SGD", "adam": "Adam", "lbfgs": "L-BFGS"}
