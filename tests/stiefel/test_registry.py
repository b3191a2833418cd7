"""A new map is one file and one line, or a `module:Class`; a broken one gets a clear sentence."""

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import torch
from torch import nn

import stiefel
from proofs import LAWS
from proofs.verify import judge
from stiefel import registry
from stiefel.errors import PluginError, UnknownNameError
from stiefel.parameterisations import REGISTRY

NEW_MAP = '''
"""A map of somebody else."""

import math
import torch
from stiefel import Claims, Trivialisation

class Flow(Trivialisation):
    """The Cayley transform of the dense n × n generator."""

    claims = Claims(
        summary="dense Cayley transform", source="Wen & Yin 2013", residual=30, domain=math.pi, retraction_order=2,
        metric="canonical", optimiser="any", cost="n³",
    )

    def point(self, free):
        inner = self.base.mT @ free
        half = (free - self.base @ inner + self.base @ (inner - inner.mT) / 4) @ self.base.mT / 2
        turn = half - half.mT
        eye = torch.eye(turn.shape[-1], dtype=turn.dtype)
        return torch.linalg.solve(eye - turn, eye + turn) @ self.base

class Abstract(Trivialisation):
    claims = Flow.claims

class Unclaimed(Trivialisation):
    def point(self, free):
        return self.base

NUMBER = 3
'''


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Yield the name of an importable package of somebody else's."""
    name = "somebody_elses_maps"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text('"""Maps of somebody else."""\n')
    (tmp_path / name / "flow.py").write_text(NEW_MAP)
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    for module in [module for module in sys.modules if module.startswith(name)]:
        del sys.modules[module]


def obeys_the_laws(name: str) -> bool:
    laws = [LAWS[law] for law in ("on the manifold", "round trip", "retraction order", "gradient")]
    return all(judge(law, stiefel.get(name), examples=10).verdict == "holds" for law in laws)


def test_a_new_map_is_one_file_and_one_line(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(REGISTRY, "flow", f"{package}.flow:Flow")
    assert "flow" in stiefel.names()
    assert stiefel.describe()["flow"].summary == "dense Cayley transform"
    layer = stiefel.attach(nn.Linear(4, 7), by="flow")
    assert stiefel.residual_in_eps(layer.weight) <= 30
    assert obeys_the_laws("flow")


def test_a_map_is_named_by_its_module_and_class(package: str) -> None:
    name = f"{package}.flow:Flow"
    assert stiefel.get(name).__name__ == "Flow"
    layer = stiefel.attach(nn.Linear(4, 7), by=name)
    layer(torch.ones(1, 4)).sum().backward()
    assert obeys_the_laws(name)


def test_an_installed_package_adds_a_map_by_its_entry_point_and_cannot_replace_ours(
    package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def installed(*, group: str) -> list[EntryPoint]:
        return [EntryPoint(name, f"{package}.flow:Flow", group) for name in ("flow", "cayley")]

    monkeypatch.setattr(registry, "entry_points", installed)
    assert "flow" in stiefel.names()
    assert stiefel.get("flow").__name__ == "Flow"
    assert stiefel.get("cayley").__module__ == "stiefel.parameterisations.cayley"


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("no_such_package:Map", "No module named 'no_such_package'"),
        ("somebody_elses_maps.flow:Missing", "has no attribute 'Missing'"),
        ("somebody_elses_maps.flow:NUMBER", "3 is not a subclass of stiefel.Parameterisation"),
        ("somebody_elses_maps.flow:math", "is not a subclass of stiefel.Parameterisation"),
        ("somebody_elses_maps.flow:Abstract", "Abstract lacks point"),
        ("somebody_elses_maps.flow:Unclaimed", "Unclaimed lacks claims = stiefel.Claims(…)"),
        (":Map", "Empty module name"),
        ("somebody_elses_maps.flow:", "has no attribute ''"),
    ],
)
def test_a_broken_reference_says_what_is_wrong_with_it(package: str, reference: str, reason: str) -> None:
    with pytest.raises(PluginError) as raised:
        stiefel.get(reference)
    assert reason in str(raised.value)
    assert f"can't use {reference!r}" in str(raised.value)
    assert "expected 'module:Class'" in str(raised.value)


def test_a_broken_line_of_the_registry_is_as_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(REGISTRY, "broken", "no_such_package:Map")
    with pytest.raises(PluginError, match="No module named 'no_such_package'"):
        stiefel.get("broken")


@pytest.mark.parametrize("name", ["", "Cayley", "cayley "])
def test_an_unknown_name_lists_the_choices(name: str) -> None:
    with pytest.raises(UnknownNameError) as raised:
        stiefel.get(name)
    assert raised.value.choices == [*stiefel.names(), "module:Class"]
    assert ", ".join(stiefel.names()) in str(raised.value)


def test_every_registered_map_states_its_claims() -> None:
    for name, claims in stiefel.describe().items():
        assert claims.summary, name
        assert claims.source, name
        assert claims.residual > 0, name
        assert claims.domain > 0, name
        assert claims.optimiser in ("any", "riemannian"), name
        assert claims.metric in ("canonical", "euclidean"), name
