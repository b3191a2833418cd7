"""What the site puts into a page where it says `<!-- site: … -->`, which the code host doesn't show.

`contents` (the navigation), `recipes` (every task's, and their keys), and `api MODULE …` (their public names).
"""

import re
import shutil
from dataclasses import is_dataclass
from importlib import import_module
from inspect import isclass, isroutine
from pathlib import Path
from typing import get_type_hints

from sphinx.application import Sphinx

from distill import recipe, tasks

ROOT = Path(__file__).parents[2]
_PLACE = re.compile(r"<!-- site: (\w+)(.*?) -->", re.DOTALL)

# Pages under docs/ that aren't named here stand at the end of the guides, so that a new one is found.
GUIDES = [
    "distil-your-own-model",
    "train",
    "compare",
    "executors",
    "data",
    "budgets",
    "recipes",
    "add-a-parameterisation",
    "solvers",
]
THEORY = ["mathematics", "evidence", "certificates", "formal"]
RESULTS = ["reproduce"]
PACKAGES = ["stiefel", "distill", "proofs"]


def fill(app: object, name: str, source: list[str]) -> None:
    """Put the generated text into a page's source: the handler of source-read."""
    source[0] = _PLACE.sub(lambda place: GENERATED[place[1]](*place[2].split()), source[0])


def write_index(app: Sphinx, exception: Exception | None) -> None:
    """Write index.html, the front page: it is README.md, which Sphinx calls README.html."""
    if exception is None and app.builder.name == "html":
        shutil.copyfile(Path(app.outdir) / "README.html", Path(app.outdir) / "index.html")


def contents() -> str:
    """Return the navigation of the whole site."""
    named = {*GUIDES, *THEORY, *RESULTS}
    found = (path.relative_to(ROOT / "docs").with_suffix("").as_posix() for path in (ROOT / "docs").rglob("*.md"))
    others = sorted(page for page in found if page not in named and not page.startswith("api/"))
    parts = {
        "Guides": [f"docs/{page}" for page in GUIDES + others],
        "Why it holds": [f"docs/{page}" for page in THEORY],
        "Results": [*(f"docs/{page}" for page in RESULTS), "benchmarks/README"],
        "Reference": [*(f"docs/api/{package}" for package in PACKAGES), "CONTRIBUTING", "CHANGELOG"],
    }
    return "\n\n".join(
        "\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", "", *pages, "```"])
        for caption, pages in parts.items()
    )


def recipes() -> str:
    """Return every task's recipes, as their files are; then the keys, and what they mean."""
    blocks, parts = [], {}
    for task in tasks.TASKS:
        blocks.append(f"## {task.capitalize()}")
        for name in recipe.recipes(task):
            text = (ROOT / "distill" / "recipes" / task / f"{name}.yaml").read_text("utf-8")
            blocks.append(f"### {name}\n\n```yaml\n{text}```")
        parts |= dict.fromkeys(_parts(tasks.get(task).config))
    blocks.append(f"## Keys\n\n```text\n{recipe.keys_help()}\n```")
    described = [f".. autoclass:: {part.__module__}.{part.__qualname__}\n   :no-members:\n" for part in parts]
    return "\n\n".join([*blocks, "## What the keys mean", "\n".join(["```{eval-rst}", *described, "```"])])


def _parts(config: type) -> list[type]:
    """Return the dataclasses whose fields a config has: itself, what it extends and what it holds, to any depth."""
    held = [hint for hint in get_type_hints(config).values() if is_dataclass(hint) and isclass(hint)]
    own = [kind for kind in config.__mro__ if is_dataclass(kind)]
    return [*own, *(part for kind in held for part in _parts(kind))]


def api(package: str, *modules: str) -> str:
    """Return the public names of a package, then a section for each of its modules: a table, then docstrings."""
    return "\n\n".join([_module(package), *(f"## {module}\n\n{_module(module)}" for module in modules)])


def _module(name: str) -> str:
    module = import_module(name)
    public = getattr(module, "__all__", None) or [
        key for key, value in vars(module).items() if key[0] != "_" and getattr(value, "__module__", None) == name
    ]
    # A constant has no docstring of its own, and a module its own section.
    names = [key for key in public if isclass(getattr(module, key)) or isroutine(getattr(module, key))]
    head = [f".. automodule:: {name}", f"   :members: {', '.join(names)}", ""]
    table = ["   .. autosummary::", "      :nosignatures:", "", *(f"      {key}" for key in names)]
    return "\n".join(["```{eval-rst}", *head, *table, "```"])


GENERATED = {"contents": contents, "recipes": recipes, "api": api}
