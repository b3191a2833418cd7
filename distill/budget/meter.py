"""What a run has spent of its budget: one meter a run, charged after every step."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from distill.budget import model, sheet
from distill.budget.budget import FLOPS, STEPS, V100, WALL
from distill.budget.trace import Trace
from distill.processes import Processes

Parts = Mapping[str, Sequence[nn.Module]]


class Meter(ABC):
    """What has been charged so far, of the processes of a run together; every process holds the same figure.

    last: what the latest step was charged, 0 if nobody knows yet what a step will be.
    charges: runs of equal charges, [first step, last step, charge of each], since they were last taken.
    """

    def __init__(self) -> None:
        self.spent: float = 0
        self.last: float = 0
        self.charges: list[list[float]] = []

    def reading(self, seconds: float) -> float:
        """Return this process's part of what the processes exchange, given its training seconds so far."""
        return 0.0

    @contextmanager
    def watching(self, batch: Mapping[str, Tensor]) -> Iterator[None]:
        """Watch the step that runs inside, if its price isn't known."""
        yield

    def charge(self, step: int, exchanged: float) -> None:
        """Charge a step, numbered from 1, given the sum of all processes' readings."""
        self.last = self._price(exchanged)
        self.spent += self.last
        if self.charges and self.charges[-1][2] == self.last:
            self.charges[-1][1] = step
        else:
            self.charges.append([step, step, self.last])

    def taken(self) -> list[list[float]]:
        """Return the charges since the last call."""
        taken, self.charges = self.charges, []
        return taken

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` takes."""
        return {"spent": self.spent, "last": self.last}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up where `state_dict` stood."""
        self.spent, self.last = state["spent"], state["last"]

    @abstractmethod
    def _price(self, exchanged: float) -> float: ...


class StepMeter(Meter):
    """Charges 1 a step, and keeps no record of it."""

    def __init__(self) -> None:
        super().__init__()
        self.last = 1

    def taken(self) -> list[list[float]]:
        self.charges = []
        return []

    def _price(self, exchanged: float) -> float:
        return 1


class WallMeter(Meter):
    """Charges the seconds of the first process, from one exchange of losses to the next; `cards`: once for each.

    What follows the exchange, the optimiser's update, is charged with the next step, and after a resume too.
    """

    def __init__(self, processes: Processes, *, cards: int = 1):
        super().__init__()
        self.is_read, self.cards = processes.is_first, cards

    def reading(self, seconds: float) -> float:
        # The difference from what all processes know: what rounds in the exchange is made up for by the next one.
        return seconds - self.spent / self.cards if self.is_read else 0.0

    def _price(self, exchanged: float) -> float:
        return self.cards * exchanged


class TracedMeter(Meter):
    """Charges what a trace of the step is worth, once for each process; traces again when the batch's shapes change."""

    def __init__(self, parts: Parts, price: Callable[[Trace], float], *, processes: int):
        super().__init__()
        self.parts, self.price, self.processes = parts, price, processes
        self.prices: dict[str, float] = {}
        self.shapes = ""

    @contextmanager
    def watching(self, batch: Mapping[str, Tensor]) -> Iterator[None]:
        self.shapes = " ".join(f"{name}{tuple(each.shape)}" for name, each in batch.items())
        if self.shapes in self.prices:
            yield
            return
        with Trace(self.parts) as trace:
            yield
        self.prices[self.shapes] = self.processes * self.price(trace)

    def state_dict(self) -> dict[str, Any]:
        # A step that is traced again would cost another optimiser's first step.
        return {**super().state_dict(), "prices": self.prices}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self.prices = state["prices"]

    def _price(self, exchanged: float) -> float:
        return self.prices[self.shapes]


def build(unit: str, parts: Parts, processes: Processes) -> Meter:
    """Return the meter of a unit. On a real V100 its seconds are the clock's."""
    world = processes.world
    if unit == STEPS:
        return StepMeter()
    if unit == WALL:
        return WallMeter(processes)
    if unit == FLOPS:
        return TracedMeter(parts, lambda trace: trace.flops, processes=world)
    assert unit == V100
    if _is_v100(processes.device):
        return WallMeter(processes, cards=world)
    return TracedMeter(parts, lambda trace: model.step_seconds(trace, sheet.V100), processes=world)


def _is_v100(device: torch.device) -> bool:
    return device.type == "cuda" and "V100" in torch.cuda.get_device_name(device)
