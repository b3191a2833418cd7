"""The READMEs say what the committed results say, and a table says which goals are missed."""

import copy
import json
import re

import pytest

from benchmarks import readme
from benchmarks.tables import GOALS, tables

SPEED, GROWN = (json.loads((readme.RESULTS / name).read_text()) for name in ("speed-cpu.json", "growth-cpu.json"))


@pytest.mark.parametrize("path", readme.READMES, ids=lambda path: str(path.relative_to(readme.ROOT)))
def test_a_readme_is_what_the_committed_results_make_of_it(path) -> None:
    text = path.read_text()
    assert readme.filled(text, readme.committed()) == text, "run python -m benchmarks.readme"


def test_the_check_passes_where_nothing_is_stale() -> None:
    assert readme.main(["--check"]) == 0


def test_every_table_has_one_place() -> None:
    text = "".join(path.read_text() for path in readme.READMES)
    assert sorted(re.findall(r"<!-- table (\w+)", text)) == sorted(readme.committed())
    assert text.count("<!-- end -->") == len(readme.committed())


def test_a_changed_figure_changes_the_tables() -> None:
    speed = copy.deepcopy(SPEED)
    for result in speed["results"]:
        if result["shape"] == [3024, 192]:
            result["rows"]["cayley"] |= {"step_ms": 1.25, "products": 8.5}
    before, after = tables(SPEED, GROWN), tables(speed, GROWN)
    assert {name for name in before if before[name] != after[name]} == {"goals", "torch", "peers", "shapes", "flag"}
    assert "`cayley` | 1.2 ms" in after["flag"]
    assert f"| 8.5 ({GOALS['cayley'][0]}) |" in after["goals"], "met, so it isn't bold"


def test_a_place_for_no_table_is_refused() -> None:
    with pytest.raises(ValueError, match="no table 'speeed'; choose one of goals"):
        readme.filled("<!-- table speeed, written by python -m benchmarks.readme -->\n<!-- end -->", {"goals": ""})


def test_prose_is_left_alone() -> None:
    text = "before\n<!-- table goals, written by python -m benchmarks.readme -->\nold\n<!-- end -->\nafter\n"
    filled = readme.filled(text, {"goals": "new"})
    assert filled == text.replace("old", "\nnew\n")
    assert readme.filled(filled, {"goals": "new"}) == filled


def test_the_documented_command_measures_what_is_committed() -> None:
    command = re.search(r"--shape ([\dx ]+)", (readme.ROOT / "benchmarks/README.md").read_text())
    assert command is not None
    shapes = [[int(size) for size in shape.split("x")] for shape in command.group(1).split()]
    assert shapes == [result["shape"] for result in SPEED["results"]]
