"""The contract of a task: a batch in, a dictionary with "loss" out, and an evaluation. `fit` knows nothing more."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from distill.config import Config
from distill.graph import Graph
from distill.metric import Metric
from distill.processes import Processes

ALONE = "module"


@dataclass(frozen=True)
class Player:
    """What one optimiser trains, and by what.

    module: its `forward(batch)` returns a dictionary of scalars with the key "loss". trained: the modules whose
    parameters this loss moves; it leaves no gradient on any other player's.
    """

    module: nn.Module
    trained: nn.Module


@dataclass(frozen=True)
class Ailment:
    """Why a run is past saving though its losses are finite. steps: how many it has been so."""

    what: str
    steps: int


class Task(ABC):
    """What is trained, on what, and how it is judged.

    module: everything that is trained, the projector and the loss included, behind one `forward(batch)` that
    returns a dictionary of scalars with the key "loss". One forward, so that wrapping it (DDP, compile) wraps all.
    kept: the part of it that is kept after training, and averaged where an average is asked for.
    metric: the figure of `evaluate` that ranks runs. is_average_judged: whether a moving average's figures, where
    there is one, stand for the run, instead of beside those of the last weights.
    """

    module: nn.Module
    kept: nn.Module
    metric: Metric
    is_average_judged: bool = False

    @property
    @abstractmethod
    def steps_per_epoch(self) -> int:
        """Optimiser steps in one pass over the training data."""

    @abstractmethod
    def batch(self, step: int) -> dict[str, Tensor]:
        """Return this process's slice of a step's batch.

        The batch is a function of the run's seed and `step` alone, so that runs can resume, on any number of devices.
        """

    @abstractmethod
    def indices(self, step: int) -> list[int]:
        """Return which training examples a step's batch holds, all processes' together."""

    def players(self) -> Mapping[str, Player]:
        """Return who is trained, each with an optimiser of its own: `module` alone, unless a task is a game."""
        return {ALONE: Player(self.module, self.module)}

    def turns(self, batch: dict[str, Tensor]) -> Iterable[tuple[str, dict[str, Tensor]]]:
        """Yield the updates that a step is made of, in order: which player's, and its part of the step's batch."""
        yield ALONE, batch

    def ailment(self, losses: Mapping[str, float]) -> Ailment | None:
        """Return what is wrong after a step with these finite losses; None if nothing is."""
        return None

    def depict(self, folder: Path, step: int) -> None:
        """Write pictures of what the current weights do into a run's folder, where there is anything to see."""
        return None

    def parts(self) -> Mapping[str, Sequence[nn.Module]]:
        """Return the modules whose share of a step's cost is told apart, each called as a module in `forward`."""
        return {}

    def undecayed(self) -> list[nn.Parameter]:
        """Return matrices that weight decay leaves alone, beside those that it always does."""
        return []

    @abstractmethod
    def evaluate(self) -> dict[str, float]:
        """Return the figures of the current weights on held-out data, `metric` among them."""


class RecipeTask(Task):
    """A task that recipes describe, and the command line knows by name.

    config: the dataclass of its recipes. methods: sets of recipe keys by name, for `--method`; those that fix the
    most keys stand first, and `none` goes without distillation. compared: the values of keys that a comparison
    without a grid of its own runs, beside none. short: flags that stand for an inner key. recipe: the one that is
    taken where none is named.
    """

    config: ClassVar[type[Config]]
    methods: ClassVar[Mapping[str, Mapping[str, Any]]]
    compared: ClassVar[Mapping[str, Sequence[str]]] = {}
    short: ClassVar[Mapping[str, str]] = {}
    recipe: ClassVar[str] = "digits"

    @classmethod
    @abstractmethod
    def choices(cls) -> Mapping[str, Sequence[str]]:
        """Return the names that a recipe's key takes, for each key of the task's own that takes names."""

    @classmethod
    @abstractmethod
    def validate(cls, config: Any) -> None:
        """Check what neither types nor the rules for every task do.

        Raises: RecipeError naming the key.
        """

    @classmethod
    @abstractmethod
    def prepare(cls, config: Any, teacher_folder: Path, processes: Processes) -> "RecipeTask":
        """Return the task of a recipe, with its teacher trained in `teacher_folder` first if it isn't yet.

        Raises: RunFolderError if the folder holds a teacher of another recipe.
        """

    @classmethod
    @abstractmethod
    def untaught(cls, config: Any) -> "RecipeTask":
        """Return the task with a teacher that knows nothing: enough to check a recipe, or to evaluate a student."""

    @classmethod
    def notes(cls, config: Any) -> list[str]:
        """Return sentences that a reader of a comparison must know to read its figures right."""
        return []

    @classmethod
    def idle(cls, config: Any) -> list[str]:
        """Return the keys, inner ones behind dots, that change nothing in a run of this config.

        Runs that differ in such keys alone are one run of a comparison. `teacher` stands for all keys inside it.
        """
        return ["parameterisation"] if config.alpha == 0 else []

    @classmethod
    def teacher_of(cls, config: Any) -> str:
        """Return what the teacher is made from, as text: recipes of equal texts share a teacher's folder."""
        return ""

    @classmethod
    def method_of(cls, config: Any) -> str:
        """Return the first method whose keys a config has; "own" where it is none of them."""
        found = (name for name, keys in cls.methods.items() if all(getattr(config, key) == keys[key] for key in keys))
        return next(found, "own")


class ExportableTask(RecipeTask):
    """A task whose student leaves a run as files of its own, without projectors (`distill export`)."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the student's current weights as config.json and model.safetensors."""

    @abstractmethod
    def graph(self, folder: Path) -> Graph:
        """Return the model that `save` wrote to a folder as a graph."""


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Initialise modules from `seed`, leaving the caller's random state as it was.

    torch's layers draw their first weights from the global generator and take no other.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
