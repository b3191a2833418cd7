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


@pytest.mark.parametrize("code", blocks("docs/distil-your-own-model.md"), ids=["features", "timm", "transformers"])
def test_the_examples_of_distilling_ones_own_model_run(code: str) -> None:
    exec(code, {})


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


def test_the_example_of_a_certificate_runs() -> None:
    (code,) = blocks("docs/certificates.md")
    exec(code, {})


@pytest.fixture
def documented_map(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "my_maps.py").write_text(blocks("docs/add-a-parameterisation.md")[0])
    monkeypatch.syspath_prepend(tmp_path)
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
