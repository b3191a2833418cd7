"""Every registered method runs, and is what it claims to be where the judge looks."""

import math

import pytest
import torch

import stiefel
from benchmarks.convergence import methods, problems, protocol
from benchmarks.convergence.watch import FIRST, Limit, Watch
from stiefel.errors import UnknownNameError

METHODS = methods.registered()
# Bounded below off the manifold too, where a plain parameter goes.
PROBLEM = problems.build("procrustes:12x3")
# All of them are judged.
STEPS = FIRST


@pytest.mark.parametrize("name", METHODS)
def test_a_method_takes_steps_downhill_and_claims_what_it_keeps(name: str) -> None:
    method = METHODS[name]
    outcome = protocol.run(method, PROBLEM, lr=0.05, seed=1, limit=Limit(iterations=STEPS))
    assert outcome.status in ("censored", "stopped", "converged"), outcome.reason
    assert outcome.records[0].gap == pytest.approx(1)
    assert outcome.records[-1].gap < 1
    assert [record.iteration for record in outcome.records] == list(range(len(outcome.records)))
    claimed = method.defect(PROBLEM.start(1))
    assert max(record.defect for record in outcome.records) <= claimed
    cosine = protocol.alignment(method, PROBLEM, outcome.kept)
    assert cosine is not None
    assert cosine >= method.alignment - 1e-3


def test_every_map_is_run_under_every_optimiser() -> None:
    optimisers = ("SGD", "Adam", "L-BFGS")
    assert {f"{name} + {each}" for name in stiefel.names() for each in optimisers} <= set(METHODS)


def test_everybody_that_the_benchmark_promises_is_there() -> None:
    assert {method.family for method in METHODS.values()} == {
        "stiefel",
        "geoopt",
        "geotorch",
        "torch",
        "pymanopt",
        "none",
    }
    assert sum(method.family == "pymanopt" for method in METHODS.values()) == 3
    assert sum(method.family == "geoopt" for method in METHODS.values()) == 4


def test_line_searches_say_that_mini_batches_are_not_for_them() -> None:
    stochastic = problems.build("streaming_pca")
    for method in METHODS.values():
        if method.is_deterministic:
            outcome = protocol.run(method, stochastic, lr=1.0, seed=1, limit=Limit(iterations=1))
            assert outcome.status == "left out"
            assert "mini-batches" in outcome.reason


def test_a_line_searching_step_does_not_pay_for_a_value_twice() -> None:
    watch = Watch(PROBLEM, None, Limit(iterations=20))
    with pytest.raises(Exception, match="censored"):
        METHODS["cayley + L-BFGS"].run(watch, PROBLEM.start(1), lr=1.0, seed=1)
    # One at the start, then about one an iteration; without the memory it would be two.
    assert watch.evaluations <= 1.5 * 20


def test_pymanopts_numpy_is_counted() -> None:
    method = METHODS["pymanopt conjugate gradients"]
    watch = Watch(PROBLEM, None, Limit(iterations=3))
    with pytest.raises(Exception, match="censored"):
        method.run(watch, PROBLEM.start(1), lr=1.0, seed=1)
    assert watch.extra_flops > 0
    assert math.isfinite(protocol.cost(method, PROBLEM, lr=1.0)["flops_per_evaluation"])


def test_an_unknown_method_is_refused_with_the_choices() -> None:
    with pytest.raises(UnknownNameError, match=r"cayley \+ SGD"):
        methods.get("caley + SGD")


def test_an_outcome_that_diverged_loses_every_comparison() -> None:
    good = protocol.run(METHODS["riemannian + SGD"], PROBLEM, lr=0.1, seed=1, limit=Limit(iterations=3))
    bad = protocol.Outcome("diverged", "", good.records, [torch.zeros(1)])
    assert good.score < bad.score
