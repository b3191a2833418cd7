"""The table of results for a paper, in LaTeX with booktabs."""

from distill.report.table import table
from distill.results import Comparison

_ESCAPED = {
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "…": r"\dots{}",
    "·": r"$\cdot$",
    "−": "$-$",
    "ᵀ": r"$^\top$",
}


def as_latex(comparison: Comparison) -> str:
    r"""Return the table as a LaTeX tabular, to be put in by \input; its notes and its command are comments above."""
    content = table(comparison)
    lines = [f"% {sentence}" for sentence in (comparison.command, content.note, *comparison.trust)]
    lines += [r"\begin{tabular}{l" + "r" * (len(content.headers) - 1) + "}", r"\toprule", _row(content.headers)]
    lines += [r"\midrule", *map(_row, content.rows), r"\bottomrule", r"\end{tabular}"]
    return "\n".join(lines) + "\n"


def _row(cells: list[str]) -> str:
    return " & ".join(_escaped(cell) for cell in cells) + r" \\"


def _escaped(text: str) -> str:
    return "".join(_ESCAPED.get(letter, letter) for letter in text)
