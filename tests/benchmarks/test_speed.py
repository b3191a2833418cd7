"""The speed benchmark runs on a small shape, and every entry of ours and of the peers is in its file."""

import json
from pathlib import Path

import pytest

import stiefel
from benchmarks import speed
from benchmarks.peers import peers


def test_every_map_and_peer_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "speed.json"
    assert speed.main(["--shape", "12x4", "2x6x3", "--seconds", "0.001", "--out", str(out), "--device", "cpu"]) == 0
    document = json.loads(out.read_text())
    assert [result["shape"] for result in document["results"]] == [[12, 4], [2, 6, 3]]
    for result in document["results"]:
        assert set(result["rows"]) == {speed.UNIT, speed.FLOOR, *stiefel.names(), *peers()}
        assert all(row["step_ms"] > 0 for row in result["rows"].values())
    assert document["environment"]["packages"]["torch"]
    assert "12x4 float32" in capsys.readouterr().out


def test_a_wrong_shape_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert speed.main(["--shape", "3x"]) == 2
    assert "expected a shape such as 3024x192" in capsys.readouterr().err


def test_every_map_that_geotorch_has_is_a_peer() -> None:
    geotorch = pytest.importorskip("geotorch")
    assert {f"geotorch {name}" for name in geotorch.SO.trivializations} <= set(peers())
