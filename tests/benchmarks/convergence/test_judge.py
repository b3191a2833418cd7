"""A method with a wrong gradient and one that leaves the manifold are flagged, not ranked."""

import dataclasses
import math
from functools import partial
from pathlib import Path

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from benchmarks.convergence import bench, methods, pictures, tables
from benchmarks.convergence.judge import Entry, beaten, entries
from benchmarks.convergence.method import Method
from benchmarks.convergence.problem import Problem, value_and_gradient
from benchmarks.convergence.problems import build
from benchmarks.convergence.results import Results
from benchmarks.convergence.watch import Watch
from stiefel import nearest_point
from stiefel.manifold import tangent_projection

LR = 0.5


class Planted(Method):
    """Gradient descent whose step a subclass spoils."""

    family = "planted"
    alignment = 1.0

    def direction(self, point: Tensor, gradient: Tensor) -> Tensor:
        return -tangent_projection(point, gradient)

    def retract(self, point: Tensor) -> Tensor:
        return nearest_point(point)

    def defect(self, point: Float[Tensor, "n p"]) -> float:
        return 30 * point.shape[-2] * torch.finfo(point.dtype).eps

    def run(self, watch: Watch, start: Float[Tensor, "n p"], *, lr: float, seed: int) -> None:
        point = start
        watch.look(lambda: point, is_step=False)
        while True:
            watch.go()
            _, gradient = watch.value_and_gradient(point, None)
            point = self.retract(point + LR * self.direction(point, gradient))
            watch.halt()
            watch.look(partial(torch.clone, point))

    def probe(self, problem: Problem, point: Float[Tensor, "n p"]) -> Float[Tensor, "n p"]:
        return self.direction(point, value_and_gradient(problem, point)[1])


class Sound(Planted):
    """Nothing wrong with it."""


class Uphill(Planted):
    """A flipped sign."""

    def direction(self, point: Tensor, gradient: Tensor) -> Tensor:
        return -super().direction(point, gradient)


class WithoutRotation(Planted):
    """G − X·XᵀG: the part of the tangent space that turns X in its own span is missing."""

    def direction(self, point: Tensor, gradient: Tensor) -> Tensor:
        return -(gradient - point @ point.mT @ gradient)


class Halved(Planted):
    """G − ½X·XᵀG: a ½ too many, so it isn't even tangent; only its direction along the manifold counts."""

    def direction(self, point: Tensor, gradient: Tensor) -> Tensor:
        return -(gradient - point @ (point.mT @ gradient) / 2 + point @ (gradient.mT @ point) / 4)


class Leaving(Planted):
    """It forgets to retract."""

    def retract(self, point: Tensor) -> Tensor:
        return point


class Stopping(Planted):
    """It ends by itself after one step."""

    def run(self, watch: Watch, start: Float[Tensor, "n p"], *, lr: float, seed: int) -> None:
        watch.look(lambda: start, is_step=False)


class Crashing(Planted):
    """It raises."""

    def run(self, watch: Watch, start: Float[Tensor, "n p"], *, lr: float, seed: int) -> None:
        raise RuntimeError("out of luck")


class Diverging(Planted):
    """NaN from the second step on."""

    def retract(self, point: Tensor) -> Tensor:
        return point * math.nan


PLANTS: dict[type[Planted], str] = {
    Uphill: "its gradient is wrong",
    WithoutRotation: "its gradient is wrong",
    Halved: "its gradient is wrong",
    Leaving: "leaves the manifold",
    Stopping: "stops by itself at a gradient of",
    Crashing: "crashed: RuntimeError: out of luck",
    Diverging: "diverged",
}


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Entry]:
    results = Results(tmp_path_factory.mktemp("judged") / "results.jsonl")
    # Brockett's cost depends on the rotation, so a gradient without it is wrong there; PCA's doesn't.
    problem = build("brockett:20x3")
    for kind in (Sound, *PLANTS):
        bench.pair(results, problem, "brockett:20x3", kind(kind.__name__), 0.05, seeds=2)
    return {entry.method: entry for entry in entries(results.lines)}


def test_a_sound_method_is_ranked(judged: dict[str, Entry]) -> None:
    assert judged["Sound"].flags == ()
    assert judged["Sound"].is_ranked


@pytest.mark.parametrize(("plant", "reason"), PLANTS.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_a_planted_flaw_is_flagged_and_not_ranked(judged: dict[str, Entry], plant: type[Planted], reason: str) -> None:
    entry = judged[plant.__name__]
    assert any(flag.startswith(reason) for flag in entry.flags), entry.flags
    assert not entry.is_ranked


def test_what_is_flagged_stands_in_no_ranking(judged: dict[str, Entry]) -> None:
    found = tables.by_problem(judged.values())
    (row,) = tables.recommendations(found)[1:]
    assert row[2].startswith("Sound: ")
    assert {row[1] for row in tables.flagged(found)[1:]} == {kind.__name__ for kind in PLANTS}
    ratios = pictures.performance_ratios(list(judged.values()), 1e-3)
    assert all(not math.isfinite(value) for kind in PLANTS for value in ratios[kind.__name__])


def test_an_optimum_that_is_beaten_is_named(judged: dict[str, Entry]) -> None:
    sound = judged["Sound"]
    assert beaten([sound]) == []
    below = tuple(run | {"last": run["last"] | {"gap": -1e-3}} for run in sound.runs)
    assert beaten([dataclasses.replace(sound, runs=below)]) == ["brockett:20x3"]


def test_plants_are_in_no_registry() -> None:
    assert not {kind.__name__ for kind in PLANTS} & set(methods.registered())


def test_a_probe_of_geoopts_default_is_one_of_descent(tmp_path: Path) -> None:
    results = Results(tmp_path / "results.jsonl")
    bench.pair(
        results,
        build("brockett:20x3"),
        "brockett:20x3",
        methods.get("geoopt default (canonical) + RSGD"),
        0.05,
        seeds=1,
    )
    (entry,) = entries(results.lines)
    # It doubles the rotation part, so it isn't steepest descent, and claims no more than descent.
    assert entry.runs[0]["alignment"] < 0.999
    assert entry.is_ranked
