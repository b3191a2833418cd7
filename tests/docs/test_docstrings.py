"""Docstrings become what they look like: bullets for names, paragraphs for Raises and Source, prose for prose."""

import importlib.util
from pathlib import Path

import pytest

SPEC = importlib.util.spec_from_file_location("docstrings", Path(__file__).parents[2] / "docs/_sphinx/docstrings.py")
assert SPEC is not None
assert SPEC.loader is not None
docstrings = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(docstrings)


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("Return `free` of St(n, p).", ["Return ``free`` of St(n, p)."]),
        ("Shape (*batch, n, p), a_b.", [r"Shape (\*batch, n, p), a\_b."]),
        ("dim: its width.\npath: where\n    it lies.", ["- ``dim``: its width.", "- ``path``: where it lies."]),
        ("low, high: bounds. `by`: a map.", ["- ``low``, ``high``: bounds.", "- ``by``: a map."]),
        ("mixup: one. mix_prob:\nshare.", ["- ``mixup``: one.", "- ``mix_prob``: share."]),
        ("Is *sampled*, X*X = I.", [r"Is *sampled*, X\*X = I."]),
        ("Only one of them is\npossible: the other.", ["Only one of them is possible: the other."]),
        ("Cost: 2np².\nRaises: ShapeError.", ["**Cost:** 2np².", "**Raises:** ShapeError."]),
    ],
)
def test_a_docstring_is_shown_as_it_reads(written: str, shown: list[str]) -> None:
    assert [line for line in docstrings.converted(written) if line] == shown


def test_of_a_module_the_first_paragraph_is_shown() -> None:
    lines = ["What it is for.", "", "How it is built."]
    docstrings.to_rst(None, "module", "stiefel", None, None, lines)
    assert lines == ["What it is for.", ""]
