"""`stiefel list` and `stiefel describe`: every map, every claim, one sentence for a mistake."""

import json
import subprocess
import sys
from dataclasses import asdict

import pytest

import stiefel
from stiefel.cli import main


def test_list_prints_every_map_with_its_summary(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    for name, claims in stiefel.describe().items():
        assert name in out
        assert claims.summary in out
        assert claims.cost in out


def test_list_prints_json_that_any_parser_reads(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert list(listed) == stiefel.names()
    assert listed["exponential"]["retraction_order"] == "inf"
    assert listed["riemannian"]["domain"] == "inf"
    assert listed["cayley"]["residual"] == stiefel.get("cayley").claims.residual


@pytest.mark.parametrize("name", stiefel.names())
def test_describe_prints_every_claim(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe", name]) == 0
    out = capsys.readouterr().out
    found = stiefel.get(name)
    assert f"{found.__module__}:{found.__qualname__}" in out
    for key, value in asdict(found.claims).items():
        assert f"{key}  {value}" in out


def test_describe_takes_a_module_and_class(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe", "stiefel.parameterisations.qr:QR"]) == 0
    assert "QR factor" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["describe", "caley"], "unknown parameterisation 'caley'; choose one of cayley"),
        (["describe", "nowhere:Map"], "can't use 'nowhere:Map': No module named 'nowhere'"),
        (["describe"], "the following arguments are required: name; see 'stiefel describe --help'"),
        ([], "the following arguments are required: COMMAND; see 'stiefel --help'"),
        (["train"], "invalid choice: 'train'"),
        (["list", "--xml"], "unrecognized arguments: --xml"),
    ],
)
def test_a_mistake_ends_with_two_and_one_sentence(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("stiefel: ")
    assert sentence in captured.err
    assert captured.err.count("\n") == 1


def test_the_module_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "stiefel", "describe", "caley"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("stiefel: unknown parameterisation 'caley'")
