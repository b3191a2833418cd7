"""The table of results for a paper, in LaTeX with booktabs."""

import re

from distill.report.table import table
from distill.results import Comparison

_POWER = re.compile(r"([\d.]+)e([+-]\d+)")
_MINUS = re.compile(r"(?<!\S)-(?=\d)")
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
    lines = [f"% {sentence}" for sentence in (comparison.command, content.note)]
    lines += [r"\begin{tabular}{l" + "r" * (len(content.headers) - 1) + "}", r"\toprule", _row(content.headers)]
    lines += [r"\midrule", *map(_row, content.rows), r"\bottomrule", r"\end{tabular}"]
    return "\n".join(lines) + "\n"


def _row(cells: list[str]) -> str:
    return " & ".join(_escaped(cell) for cell in cells) + r" \\"


def _escaped(text: str) -> str:
    if match := _POWER.fullmatch(text):
        return rf"${match[1]}\cdot10^{{{int(match[2])}}}$"
    escaped = "".join(_ESCAPED.get(letter, letter) for letter in text)
    return _MINUS.sub("$-$", escaped)
