"""Read the Coq files and Coq's answers: headline theorems, forbidden words, assumptions."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SOURCES = Path(__file__).parent

# What mathcomp-analysis builds its real numbers and limits on; https://github.com/math-comp/analysis names the three.
CLASSICAL = frozenset(
    f"boolp.{name}"
    for name in ("propositional_extensionality", "functional_extensionality_dep", "constructive_indefinite_description")
)

_HEADLINE = re.compile(r"(?:\(\*\*(?P<statement>(?:(?!\*\)).)*)\*\)\s*)?^Theorem\s+(?P<name>\w+)", re.M | re.S)
_COMMENT = re.compile(r"\(\*.*?\*\)", re.S)
_FORBIDDEN = re.compile(
    r"\b(Admitted|admit|give_up|Axioms?|Conjectures?|Parameters?|bypass_check"
    r"|Unset (?:Guard|Positivity|Universe) Checking)\b"
)
_MARK = "== "
_CLOSED = "Closed under the global context"


@dataclass(frozen=True)
class Theorem:
    """A headline theorem: its name, what it says in one sentence, and the file that proves it."""

    name: str
    statement: str
    file: str


def files(sources: Path) -> list[Path]:
    """Return the Coq files of a folder in the order of its `_CoqProject`."""
    return [sources / line for line in (sources / "_CoqProject").read_text().split() if line.endswith(".v")]


def theorems(*, sources: Path = SOURCES) -> list[Theorem]:
    """Return every headline theorem, in the order of `files`."""
    return [theorem for path in files(sources) for theorem in headlines(path.read_text(), path.name)]


def headlines(text: str, file: str) -> list[Theorem]:
    """Return the headline theorems of one Coq file. The statement is empty where there is none above the theorem."""
    return [
        Theorem(match["name"], " ".join((match["statement"] or "").split()), file) for match in _HEADLINE.finditer(text)
    ]


def forbidden(text: str) -> list[str]:
    """Return the words outside comments that would leave something unproved, such as Admitted or Axiom."""
    return [match[0] for match in _FORBIDDEN.finditer(_COMMENT.sub("", text))]


def audit(named: Sequence[Theorem]) -> str:
    """Return a Coq file that prints, for each file, a line with its name and the assumptions of its theorems together.

    Coq walks through the library anew for each question: 45 questions took 25 s where eight take 5 s.
    """
    lines: list[str] = []
    for file in dict.fromkeys(theorem.file for theorem in named):
        module = file.removesuffix(".v")
        together = ", ".join(f"@{module}.{theorem.name}" for theorem in named if theorem.file == file)
        lines += [
            f"From StiefelFormal Require {module}.",
            f"Definition theorems_of_{module} := ({together}).",
            f'Goal True. idtac "{_MARK}{file}". Abort.',
            f"Print Assumptions theorems_of_{module}.",
        ]
    return "\n".join(lines) + "\n"


def assumptions(output: str) -> dict[str, list[str]]:
    """Return the axioms of each file from what Coq printed for `audit`.

    A line that is neither an axiom nor the continuation of its type is returned as it is, as if it were one: what Coq
    says about unsafe flags must not pass unseen. A file without an answer is missing from the result.
    """
    found: dict[str, list[str]] = {}
    for block in output.split(_MARK)[1:]:
        name, *lines = block.splitlines()
        if _CLOSED in lines:
            found[name] = []
        elif "Axioms:" in lines:
            # An axiom starts its line; its type follows on the same line or, indented, below.
            kept = [line for line in lines if line and not line[0].isspace() and line != "Axioms:"]
            found[name] = [re.sub(r"\s*:.*", "", line) if re.match(r"[\w.']+\s*(:|$)", line) else line for line in kept]
    return found
