"""`proofs verify`: exit codes, one sentence for bad input, findings as JSON, a user's own map."""

import json
import sys
from pathlib import Path

import pytest
from hypothesis import settings

from proofs.cli import main
from proofs.laws import LAWS
from proofs.profiles import PROFILES
from stiefel.parameterisations import REGISTRY

pytestmark = pytest.mark.usefixtures("unchecked_shapes")

MINE = '''
import math
import torch
import stiefel

class Mine(stiefel.Trivialisation):
    """The Q factor of base plus tangent, with a positive diagonal of R."""

    claims = stiefel.Claims(
        summary="mine", source="here", residual=30, domain=math.pi, retraction_order=None, metric="euclidean",
        optimiser="any", cost="p³",
    )

    def point(self, free):
        inner = self.base.mT @ free
        q, r = torch.linalg.qr(self.base + free - self.base @ (inner + inner.mT) / 2)
        return q * r.diagonal(dim1=-2, dim2=-1).sign().unsqueeze(-2)
'''


def test_a_sound_map_ends_with_zero_and_the_evidence_is_called_sampled(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "polar", "--examples", "2"]) == 0
    out = capsys.readouterr().out
    assert "polar: sampled evidence" in out
    assert "prove" not in out
    assert all(law in out for law in LAWS)


def test_a_refuted_law_ends_with_one_and_a_counterexample(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "proofs.mutants:UnsignedReflectors", "--examples", "10", "--dtype", "float64"]) == 1
    out = capsys.readouterr().out
    assert 'print(LAWS["zero gives base"].ratio(stiefel.get("proofs.mutants:UnsignedReflectors"), case))' in out


def test_all_maps_are_those_of_the_registry(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in REGISTRY if name not in ("qr", "riemannian")]:
        monkeypatch.delitem(REGISTRY, name)
    file = tmp_path / "findings.json"
    assert main(["verify", "--all", "--examples", "1", "--json", str(file)]) == 0
    document = json.loads(file.read_text())
    assert document["evidence"] == "sampled"
    assert list(document["maps"]) == ["qr", "riemannian"]
    assert [finding["law"] for finding in document["maps"]["qr"]] == list(LAWS)
    equivariant = next(finding for finding in document["maps"]["riemannian"] if finding["law"] == "equivariant")
    assert equivariant["verdict"] == "not applicable"
    assert "no retraction" in equivariant["note"]


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_is_that_of_the_tests(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, object]] = []
    monkeypatch.setattr("proofs.verify.verify", lambda by, **settings: asked.append(settings) or [])
    file = tmp_path / "findings.json"
    assert main(["verify", "qr", "--profile", name, "--json", str(file)]) == 0
    assert asked[0]["examples"] == json.loads(file.read_text())["examples"] == settings.get_profile(name).max_examples
    assert asked[0]["derandomize"] == settings.get_profile(name).derandomize
    assert asked[0]["steps"] == PROFILES[name].steps
    assert main(["verify", "qr", "--profile", name, "--examples", "7"]) == 0
    assert asked[1]["examples"] == 7


def test_infinite_ratios_are_valid_json(tmp_path: Path) -> None:
    file = tmp_path / "findings.json"
    main(["verify", "proofs.mutants:Unchecked", "--examples", "1", "--json", str(file)])
    document = json.loads(file.read_text(), parse_constant=pytest.fail)
    refuted = [finding for finding in document["maps"]["proofs.mutants:Unchecked"] if finding["verdict"] == "refuted"]
    assert [finding["worst"] for finding in refuted] == ["inf"]


def test_a_map_in_the_working_directory_is_judged_by_the_same_laws(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a_map_of_mine.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    assert main(["verify", "a_map_of_mine:Mine", "--examples", "5"]) == 0
    out = capsys.readouterr().out
    assert "no oracle is known for a_map_of_mine:Mine" in out
    assert "on the manifold" in out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["verify", "caley"], "unknown parameterisation 'caley'; choose one of cayley"),
        (["verify", "no_such_module:Map"], "can't use 'no_such_module:Map'"),
        (["verify"], "one of the arguments name --all is required"),
        (["verify", "cayley", "--all"], "not allowed with argument"),
        (["verify", "cayley", "--dtype", "bfloat16"], "invalid choice: 'bfloat16'"),
        (["verify", "cayley", "--profile", "slow"], "invalid choice: 'slow'"),
        (["verify", "cayley", "--examples", "0"], "expected a whole number of cases, 1 or more, got '0'"),
        (["verify", "cayley", "--examples", "1", "--json", "/no/such/folder/x.json"], "No such file or directory"),
        ([], "the following arguments are required: COMMAND"),
    ],
)
def test_bad_input_ends_with_two_and_one_sentence(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith("proofs: ")
    assert sentence in err
    assert err.count("\n") == 1


def test_a_missing_hypothesis_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    for module in ("proofs.verify", "proofs.strategies"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    assert main(["verify", "cayley"]) == 2
    sentence = "proofs: sampling cases needs hypothesis; install `stiefel-distill[proofs]`\n"
    assert capsys.readouterr().err == sentence
