"""Optional packages: none is needed for `import distill`, and a missing one names its extra."""

import subprocess
import sys

import pytest

from distill import extras
from stiefel.errors import MissingExtraError


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_the_core_imports_no_optional_package() -> None:
    names = python("import distill, distill.cli, sys; print(*sys.modules)").split()
    assert set(names) & set(extras.EXTRA_OF) == set()


@pytest.mark.parametrize("module", ["torchvision.transforms.v2", "timm", "transformers"])
def test_it_imports_whatever_build_torchvision_is(module: str) -> None:
    code = f"from distill import extras; print(extras.load({module!r}, needed_by='a test').__name__)"
    assert python(code).strip() == module


@pytest.mark.parametrize("package", extras.EXTRA_OF)
def test_a_missing_package_names_its_extra(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"this needs {package}; install `stiefel-distill\[\w+\]`"):
        extras.load(package, needed_by="this")


def test_a_bug_inside_an_installed_package_is_not_called_a_missing_one() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"timm\.no_such_module"):
        extras.load("timm.no_such_module", needed_by="this")
