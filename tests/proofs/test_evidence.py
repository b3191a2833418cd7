"""docs/evidence.md is what the code says, and keeps the three kinds of evidence apart."""

import pytest

import stiefel
from proofs import LAWS, evidence
from proofs.formal import theorems
from proofs.mutants import MUTANTS


def test_the_committed_page_is_the_generated_one() -> None:
    made = evidence.page(evidence.CERTIFIED, evidence.PROVED)
    assert evidence.PAGE.read_text() == made, "run python -m proofs.evidence"


def test_the_check_tells_a_stale_page_and_a_run_writes_it(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert evidence.main(["--check"]) == 0
    monkeypatch.setattr(evidence, "PAGE", tmp_path / "evidence.md")
    assert evidence.main(["--check"]) == 1
    assert not evidence.PAGE.exists()
    assert evidence.main([]) == 0
    assert evidence.main(["--check"]) == 0


def cells(page: str, law: str) -> list[str]:
    """Return the kinds of evidence of a law, one for each map."""
    (row, *_) = [line for line in page.splitlines() if line.startswith(f"| {law} |")]
    return row.strip("| ").split(" | ")[1:]


def test_a_cell_says_sampled_where_the_law_applies_and_a_dash_where_it_does_not() -> None:
    page = evidence.page({}, {})
    for law in LAWS.values():
        expected = ["S" if law.exemption(stiefel.get(name)) is None else "–" for name in stiefel.names()]
        assert cells(page, law.name) == expected


def test_evidence_beyond_samples_is_marked_in_its_own_cell_and_named_below() -> None:
    page = evidence.page({"on the manifold": {"qr": "exact integers"}}, {"on the manifold": {"cayley": "cayley_orth"}})
    marks = dict(zip(stiefel.names(), cells(page, "on the manifold"), strict=True))
    assert (marks["qr"], marks["cayley"], marks["polar"]) == ("S C", "S P", "S")
    assert "| on the manifold | `qr` | exact integers |" in page.partition("## Certified")[2].partition("## Proved")[0]
    assert "| on the manifold | `cayley` | cayley_orth |" in page.partition("## Proved")[2]


@pytest.mark.parametrize("table", [{"on the manifolds": {"qr": "x"}}, {"on the manifold": {"qr ": "x"}}])
def test_evidence_for_what_does_not_exist_is_refused(table: dict[str, dict[str, str]]) -> None:
    with pytest.raises(ValueError, match="no such law or map"):
        evidence.page(table, {})


def test_every_mutant_and_every_reason_is_on_the_page() -> None:
    page = evidence.page({}, {})
    assert all(f"`{mutant.by.__name__}`" in page for mutant in MUTANTS)
    reasons = {law.exemption(stiefel.get(name)) for law in LAWS.values() for name in stiefel.names()}
    assert all(reason in page for reason in reasons if reason is not None)


def test_a_sample_is_never_called_a_proof() -> None:
    page = evidence.page({}, {})
    sampled, _, _ = page.partition("**certified**")
    assert "prove" not in sampled
    for law in LAWS.values():
        assert "prove" not in law.statement.lower()


def test_what_is_called_proved_is_a_theorem_that_coq_checks() -> None:
    known = {theorem.name for theorem in theorems()}
    assert {basis for maps in evidence.PROVED.values() for basis in maps.values()} <= known
