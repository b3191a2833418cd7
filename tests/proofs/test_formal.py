"""`proofs formal`: what is read from Coq's files and answers, exit codes, and the theorems themselves where Coq is."""

import re
import shutil
from pathlib import Path

import pytest

from proofs.cli import main
from proofs.formal import Report, Theorem, check, theorems
from proofs.formal.statements import CLASSICAL, SOURCES, assumptions, audit, files, forbidden, headlines

ANSWERS = """\
== first.v
Closed under the global context
== second.v
Axioms:
boolp.propositional_extensionality
  : forall P Q : Prop, P <-> Q -> P = Q
boolp.functional_extensionality_dep
  : forall (A : Type) (B : A -> Type) (f g : forall x : A, B x),
    (forall x : A, f x = g x) -> f = g
mine : 1 = 2
== third.v
Axioms:
Wrong.looping is assumed to be guarded.
== fourth.v
"""


def test_assumptions_are_the_axioms_of_each_file() -> None:
    assert assumptions(ANSWERS) == {
        "first.v": [],
        "second.v": ["boolp.propositional_extensionality", "boolp.functional_extensionality_dep", "mine"],
        "third.v": ["Wrong.looping is assumed to be guarded."],
    }


@pytest.mark.parametrize("word", ["Admitted", "admit", "give_up", "Axiom", "Axioms", "Conjecture", "Parameter"])
def test_words_that_leave_something_unproved_are_found_outside_comments(word: str) -> None:
    assert forbidden(f"Lemma a : b.\nProof.\n{word}.") == [word]
    assert forbidden(f"(* no {word}\n here *) Lemma a_{word}_b : c.") == []


def test_a_headline_is_a_theorem_and_the_statement_above_it() -> None:
    text = "(** Not its own. *)\nLemma a : b.\n(** One\n    sentence. *)\nTheorem c x : d.\nTheorem e : f.\n"
    assert headlines(text, "g.v") == [Theorem("c", "One sentence.", "g.v"), Theorem("e", "", "g.v")]


def test_the_audit_asks_for_the_assumptions_of_every_theorem() -> None:
    asked = audit([Theorem("a", "", "x.v"), Theorem("b", "", "x.v"), Theorem("c", "", "y.v")])
    assert re.findall(r":= \((.*)\)\.\n", asked) == ["@x.a, @x.b", "@y.c"]
    assert re.findall(r"Print Assumptions (.*)\.\n", asked) == ["theorems_of_x", "theorems_of_y"]


@pytest.mark.parametrize("path", files(SOURCES), ids=lambda path: path.name)
def test_every_file_says_what_it_is_for_and_leaves_nothing_unproved(path: Path) -> None:
    text = path.read_text()
    assert text.startswith("(* ")
    assert "Source: " in text.split("*)")[0]
    assert text.count("\n") <= 300
    assert [line for line in text.splitlines() if len(line) > 120] == []
    assert forbidden(text) == []
    assert [theorem.name for theorem in headlines(text, path.name) if not theorem.statement] == []


def test_every_file_of_the_folder_is_built() -> None:
    assert sorted(SOURCES.glob("*.v")) == sorted(files(SOURCES))


def test_no_two_theorems_share_a_name() -> None:
    names = [theorem.name for theorem in theorems()]
    assert len(names) == len(set(names))


THEOREM = Theorem("compact", "It holds.", "cayley.v")


@pytest.mark.parametrize(
    ("report", "code", "shown"),
    [
        (Report({THEOREM: []}), 0, "none"),
        (Report({THEOREM: ["boolp.propositional_extensionality"]}), 0, "│ classical │"),
        (Report({THEOREM: ["mine"]}, ["cayley.v rests on mine"]), 1, "proofs: cayley.v rests on mine"),
        (Report(problems=["the build failed:\nError"]), 1, "proofs: the build failed"),
    ],
)
def test_the_exit_code_is_one_where_something_is_wrong(
    report: Report, code: int, shown: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("proofs.cli.check", lambda: report)
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["formal"]) == code
    out, err = capsys.readouterr()
    assert shown in out + err


def test_a_missing_coq_is_one_sentence_that_names_the_packages(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/no/such/folder")
    assert main(["formal"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("proofs: building the proofs needs coqc, coq_makefile, make; ")
    assert "libcoq-mathcomp-analysis" in err
    assert err.count("\n") == 1


@pytest.mark.skipif(shutil.which("coqc") is None, reason="needs Coq")
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("(** True. *)\nTheorem fine : True. Proof. exact I. Qed.", None),
        (
            "Axiom mine : False.\n(** False. *)\nTheorem bad : False. Proof. exact mine. Qed.",
            "small.v rests on small.mine",
        ),
        ("(** False. *)\nTheorem bad : False. Proof. Admitted.", "small.v rests on small.bad"),
        ("(** False. *)\nTheorem bad : False. Proof. exact I. Qed.", "the build failed"),
        ("Theorem bare : True. Proof. exact I. Qed.", "bare has no (** statement *) above it"),
    ],
)
def test_coq_refuses_what_is_not_proved(text: str, problem: str | None, tmp_path: Path) -> None:
    (tmp_path / "_CoqProject").write_text("-Q . StiefelFormal\nsmall.v\n")
    (tmp_path / "small.v").write_text(text)
    problems = "\n".join(check(sources=tmp_path).problems)
    assert problems == "" if problem is None else problem in problems


def test_the_allowed_axioms_are_three() -> None:
    assert len(CLASSICAL) == 3
