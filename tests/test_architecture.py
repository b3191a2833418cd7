"""The layout's promises: imports flow one way, a map is one file and one line."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from distill.extras import EXTRA_OF
from stiefel.parameterisations import REGISTRY

ROOT = Path(__file__).parents[1]
PACKAGES = ("stiefel", "distill", "proofs", "benchmarks")
FORBIDDEN = {
    "stiefel": ("distill", "proofs", "benchmarks", "tests"),
    "distill": ("proofs", "benchmarks", "tests"),
    "proofs": ("benchmarks", "tests"),
    "benchmarks": ("tests",),
}
# What `import stiefel` and `import distill` must do without.
OPTIONAL = ("pymanopt", "hypothesis", *EXTRA_OF)
FILES = sorted(path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def imported(file: Path) -> Iterator[str]:
    yield from names_in(ast.parse((ROOT / file).read_text()), file)


def names_in(tree: ast.AST, file: Path) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} line {node.lineno}: import by the full name"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("file", FILES, ids=str)
def test_imports_flow_one_way(file: Path) -> None:
    forbidden = FORBIDDEN[file.parts[0]]
    assert [name for name in imported(file) if name.split(".")[0] in forbidden] == []


@pytest.mark.parametrize("file", [file for file in FILES if file.name != "__main__.py"], ids=str)
def test_nobody_imports_a_command_line(file: Path) -> None:
    is_its_own = "cli" in file.parts
    assert [name for name in imported(file) if "cli" in name.split(".") and not is_its_own] == []


@pytest.mark.parametrize("file", [file for file in FILES if "parameterisations" in file.parts], ids=str)
def test_parameterisation_files_never_import_each_other(file: Path) -> None:
    assert [name for name in imported(file) if name.startswith("stiefel.parameterisations.")] == []


@pytest.mark.parametrize("file", [file for file in FILES if file.parts[0] in ("stiefel", "distill")], ids=str)
def test_an_optional_package_is_imported_where_it_is_used(file: Path) -> None:
    outside = [node for node in ast.parse((ROOT / file).read_text()).body if not isinstance(node, ast.FunctionDef)]
    assert [name for node in outside for name in names_in(node, file) if name.split(".")[0] in OPTIONAL] == []


def test_the_task_contract_never_imports_a_task() -> None:
    assert [name for name in imported(Path("distill/task.py")) if name.startswith("distill.tasks")] == []


def test_every_parameterisation_file_is_one_line_of_the_registry() -> None:
    files = {path.stem for path in (ROOT / "stiefel/parameterisations").glob("*.py")} - {"__init__"}
    registered = [reference.split(":")[0].rsplit(".", 1)[-1] for reference in REGISTRY.values()]
    assert sorted(registered) == sorted(files)


@pytest.mark.parametrize("file", FILES, ids=str)
def test_every_file_says_what_it_is_for_and_stays_short(file: Path) -> None:
    text = (ROOT / file).read_text()
    assert ast.get_docstring(ast.parse(text)), f"{file} needs a first line that says what it is for"
    assert text.count("\n") <= 300, f"{file} is past 300 lines: look for the second idea in it"
