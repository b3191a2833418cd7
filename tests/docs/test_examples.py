"""Every Python block of the documentation runs, and the map it tells users to write obeys the laws."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest

import stiefel
from proofs.laws import LAWS, Law
from proofs.verify import judge

ROOT = Path(__file__).parents[2]


def blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), flags=re.S)


PAGES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md") if blocks(str(path)))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in which modules are found, and the present one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize("page", PAGES)
def test_the_python_of_a_page_runs_from_top_to_bottom(page: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names: dict[str, Any] = {}
    for code in blocks(page):
        # A block that begins with a file's name is that file.
        file = re.match(r"# (\w+)\.py\n", code)
        if file:
            (folder / f"{file[1]}.py").write_text(code)
            monkeypatch.delitem(sys.modules, file[1], raising=False)
        else:
            exec(code, names)


def test_the_examples_of_the_solvers_reach_what_the_page_says() -> None:
    names: dict[str, Any] = {}
    ours, one, module = blocks("docs/solvers.md")
    exec(ours, names)
    best = float(names["spectrum"][:3].sum())
    assert float(-names["closure"]().detach()) == pytest.approx(best, rel=1e-9)
    assert names["optimiser"].is_finished
    exec(one, names)
    best = float(names["spectrum"][:3].sum())
    assert names["minimum"].cost == pytest.approx(-best, rel=1e-9)
    exec(module, names)
    assert names["minimum"].stopped_by == "gradient norm"


@pytest.fixture
def documented_map(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (folder / "my_maps.py").write_text(blocks("docs/add-a-parameterisation.md")[0])
    monkeypatch.delitem(sys.modules, "my_maps", raising=False)
    return "my_maps:TwiceCayley"


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize("law", LAWS.values(), ids=lambda law: law.name)
def test_the_documented_map_obeys_the_laws(law: Law, documented_map: str) -> None:
    assert judge(law, stiefel.get(documented_map), examples=15).verdict != "refuted"


def test_the_three_lines_of_the_readme_are_those_of_the_package() -> None:
    names = re.findall(r"\b(?:distill|stiefel)(?:\.\w+)+", "\n".join(blocks("README.md")))
    assert names
    for name in names:
        found: object = sys.modules[name.split(".")[0]]
        for attribute in name.split(".")[1:]:
            found = getattr(found, attribute)
