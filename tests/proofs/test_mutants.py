"""Every mutant is refuted by the laws it names, and every law refutes a mutant."""

import pytest
import torch

import stiefel
from proofs import LAWS
from proofs.laws import calculus, optimisation
from proofs.mutants import MUTANTS, Mutant, TangentButWrong
from proofs.verify import judge

pytestmark = pytest.mark.usefixtures("unchecked_shapes")

# A mutant that lives through this many cases of a law is one that the law can't see.
EXAMPLES = 100
# What reads a derivative, or descends along one.
DERIVATIVES = (
    calculus.gradient,
    calculus.higher_gradients,
    calculus.forward_mode,
    calculus.transport_is_tangent,
    optimisation.target_reached,
)
KILLS = [(mutant, law) for mutant in MUTANTS for law in mutant.refuted_by]


def short(value: object) -> str:
    return value.by.__name__ if isinstance(value, Mutant) else str(value)


@pytest.mark.parametrize(("mutant", "law"), KILLS, ids=short)
def test_a_mutant_is_refuted_by_the_laws_it_names(mutant: Mutant, law: str) -> None:
    finding = judge(LAWS[law], mutant.by, examples=EXAMPLES, shrink=False)
    assert finding.verdict == "refuted", f"{mutant.by.__name__} lives: {finding}"


def test_every_law_refutes_a_mutant() -> None:
    assert {law for mutant in MUTANTS for law in mutant.refuted_by} == set(LAWS)


@pytest.mark.parametrize("law", [name for name, law in LAWS.items() if law.ratio not in DERIVATIVES])
def test_a_tangent_but_wrong_gradient_lives_through_every_law_but_those_of_its_derivative(law: str) -> None:
    assert judge(LAWS[law], TangentButWrong, examples=20).verdict != "refuted"


def test_a_counterexample_pasted_into_python_fails_again(capsys: pytest.CaptureFixture[str]) -> None:
    finding = judge(LAWS["on the manifold"], stiefel.get("proofs.mutants:OneInAMillion"), examples=EXAMPLES)
    assert finding.counterexample is not None
    exec(finding.counterexample, {})
    assert float(capsys.readouterr().out) == finding.worst > 1


def test_a_mutant_answers_to_the_oracle_of_its_original_and_a_stranger_to_none() -> None:
    by = stiefel.get("proofs.wrong_in_use:PointAsFree")
    assert "no oracle is known for proofs.wrong_in_use:PointAsFree" in (LAWS["equals oracle"].exemption(by) or "")
    assert LAWS["equals oracle"].exemption(stiefel.get("proofs.mutants:CayleySign")) is None


def test_a_float32_mutant_is_missed_by_float32_and_seen_by_float64() -> None:
    by, law = stiefel.get("proofs.mutants:Float32Inside"), LAWS["on the manifold"]
    assert judge(law, by, examples=EXAMPLES, dtypes=[torch.float32]).verdict == "holds"
    assert judge(law, by, examples=EXAMPLES, dtypes=[torch.float64]).verdict == "refuted"
