"""The pictures of the mathematics are drawn from the maps, every one of them, by the command that the page names."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

import stiefel
from stiefel.parameterisations import REGISTRY

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def pictures() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pictures", ROOT / "docs" / "mathematics" / "pictures.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_command_draws_what_the_page_shows(pictures: ModuleType, tmp_path: Path) -> None:
    pictures.main(tmp_path)
    shown = re.findall(r"\(mathematics/(.+\.svg)\)", (ROOT / "docs" / "mathematics.md").read_text())
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(shown)


def test_every_map_of_a_free_tensor_has_its_curve(pictures: ModuleType) -> None:
    drawn = [text.get_text() for text in pictures.curves().legends[0].get_texts()]
    assert drawn == [name for name in REGISTRY if stiefel.get(name).claims.optimiser == "any"]
