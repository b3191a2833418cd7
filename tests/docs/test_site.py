"""The site builds without a warning, shows every page, recipe, key and public name, and no link of it leads nowhere."""

import re
import subprocess
import sys
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

import distill
import stiefel
from distill import recipe, tasks

ROOT = Path(__file__).parents[2]
PAGES = sorted(path.relative_to(ROOT / "docs").with_suffix("") for path in (ROOT / "docs").rglob("*.md"))


class Links(HTMLParser):
    """The places that a page can be entered at, and those that it leads to."""

    def __init__(self, page: Path):
        super().__init__()
        self.anchors: set[str] = {""}
        self.targets: set[str] = set()
        self.feed(page.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for key, value in attrs:
            if key == "id":
                self.anchors.add(value or "")
            elif key in ("href", "src") and value and not re.match(r"\w+:|//", value):
                self.targets.add(unquote(value))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build it as `make docs` does: 8 s of one core's time."""
    out = tmp_path_factory.mktemp("site")
    makefile = (ROOT / "Makefile").read_text()
    words = re.search(r"-m sphinx (.*) docs/_build/html", makefile)
    assert words is not None
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *words[1].split(), out], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return out


def test_the_front_page_leads_to_every_page(site: Path) -> None:
    front = Links(site / "index.html").targets
    assert [page for page in PAGES if f"docs/{page}.html" not in front] == []
    assert {"benchmarks/README.html", "CHANGELOG.html", "CONTRIBUTING.html"} <= front


def test_every_link_leads_somewhere(site: Path) -> None:
    pages = {page.resolve(): Links(page) for page in site.rglob("*.html")}
    broken = []
    for page, links in pages.items():
        for target in links.targets:
            file, _, anchor = target.partition("#")
            # The version behind a style sheet's name is not part of it.
            found = (page.parent / file.partition("?")[0]).resolve() if file else page
            if not found.exists() or (found in pages and anchor not in pages[found].anchors):
                broken.append(f"{page.name}: {target}")
    assert broken == []


def test_every_recipe_and_key_is_shown(site: Path) -> None:
    shown = unescape(re.sub(r"<[^>]+>", "", (site / "docs/recipes.html").read_text("utf-8")))
    for task in tasks.TASKS:
        for name in recipe.recipes(task):
            assert (ROOT / "distill/recipes" / task / f"{name}.yaml").read_text("utf-8").strip() in shown, name
    assert recipe.keys_help().strip() in shown


@pytest.mark.parametrize("package", [stiefel, distill], ids=lambda package: package.__name__)
def test_every_public_name_is_documented(package, site: Path) -> None:
    anchors = Links(site / f"docs/api/{package.__name__}.html").anchors
    missing = [name for name in package.__all__ if not any(anchor.endswith(f".{name}") for anchor in anchors)]
    modules = [name for name in missing if f"module-{package.__name__}.{name}" in anchors]
    assert sorted(missing) == sorted(modules)
