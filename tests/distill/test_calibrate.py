"""A calibration finds the sheet of a machine that is known, and says how far off its predictions are."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_runs import run_small, small

from distill.budget import printed, probes, sheet
from distill.budget.calibrate import ALLOWED, Calibration, Row, calibrate, times
from distill.budget.explain import explain, explain_run
from distill.budget.model import costs
from distill.budget.sheet import ATTENTION, CONVOLUTION, PRODUCT, Factorisation, Sheet
from distill.cli import main
from distill.errors import RecipeFileError

KNOWN = Sheet(
    name="known",
    source="this test",
    rate={"float32": 80e9, "float64": 40e9, "bfloat16": 160e9},
    efficiency={PRODUCT: 1.0, CONVOLUTION: 0.8, ATTENTION: 1.5},
    half={PRODUCT: 20.0, ATTENTION: 60.0},
    tile=64,
    units=1,
    tiny=1e9,
    bandwidth=3e9,
    cache_bandwidth=30e9,
    cache=16 * 2**20,
    special=1e9,
    launch_s=1e-6,
    view_s=1e-6,
    cold=1.0,
    fused=1,
    memory=1e12,
    factorisations={name: Factorisation(1e-6, 20e9) for name in sheet.FACTORISATIONS},
)


def test_the_probes_of_a_known_machine_give_its_sheet_back() -> None:
    found = probes.probes("cpu")
    seconds = {name: sum(cost.seconds for cost in costs(probe.trace, KNOWN)) for name, probe in found.items()}
    fitted = probes.fit(found, seconds, "cpu")
    assert fitted.cold == pytest.approx(1.0, abs=0.15)
    # What isn't measured apart: the launch probe's own work, and the sums and views beside what a probe is about.
    close = 0.25
    assert fitted.launch_s == pytest.approx(KNOWN.launch_s, rel=close)
    for key in ("tiny", "bandwidth", "cache_bandwidth", "special"):
        assert getattr(fitted, key) == pytest.approx(getattr(KNOWN, key), rel=close), key
    for name, rate in KNOWN.rate.items():
        assert fitted.rate[name] == pytest.approx(rate, rel=close)
    for name in sheet.FACTORISATIONS:
        p, flops = 100, 1e6
        one, other = (each.factorisations[name] for each in (fitted, KNOWN))
        assert p * one.column_s + flops / one.rate == pytest.approx(p * other.column_s + flops / other.rate, rel=close)


def test_steps_take_turns_and_their_median_counts() -> None:
    now, log = [0.0], []

    def step(name: str, seconds: float) -> None:
        log.append(name)
        now[0] += seconds

    found = times({"a": lambda: step("a", 1.0), "b": lambda: step("b", 2.0)}, rounds=3, read=lambda: now[0])
    assert found == {"a": 1.0, "b": 2.0}
    assert log == [*"aabb", *"aabb" * 3]


ROWS = [
    Row("maps", "quick", predicted_ms=1.0, measured_ms=1.0),
    Row("maps", "middle", predicted_ms=0.9, measured_ms=1.6),
    Row("maps", "tied", predicted_ms=3.0, measured_ms=1.7),
    Row("others", "slow", predicted_ms=0.1, measured_ms=0.1),
]


def test_a_calibration_says_what_is_off_and_what_is_out_of_order() -> None:
    found = Calibration(KNOWN, ROWS, "wall")
    assert found.within == 2
    assert found.worst == pytest.approx(1.6 / 0.9)
    # middle and tied are too near to each other to have an order; slow is of another group.
    assert [(quick.name, slow.name) for quick, slow in found.pairs] == [("quick", "middle"), ("quick", "tied")]
    assert [(quick.name, slow.name) for quick, slow in found.misordered] == [("quick", "middle")]
    assert printed.verdict(found) == [
        "2 of 4 steps are predicted within a factor of 1.5, the worst by 1.78.",
        "Of 2 pairs of steps that are clearly apart, 1 are predicted in the wrong order (maps: middle before quick).",
    ]


def test_a_written_sheet_is_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("distill.cli.budget.calibrate", lambda device, *, rounds: Calibration(KNOWN, ROWS, "wall"))
    out = tmp_path / "results" / "calibration.json"
    assert main(["budget", "calibrate", "--out", str(out)]) == 0
    assert "others: slow" in capsys.readouterr().out
    assert sheet.read(out) == KNOWN
    assert "2 of 4 steps are predicted within a factor of 1.5" in " ".join(printed.trust(out))
    assert "2 of 4" not in " ".join(printed.trust())
    (tmp_path / "broken.json").write_text(json.dumps(json.loads(out.read_text()) | {"rows": [{}]}))
    with pytest.raises(RecipeFileError, match="holds no calibration"):
        printed.trust(tmp_path / "broken.json")
    run_small(tmp_path / "run")
    assert main(["budget", "explain", str(tmp_path / "run"), "--sheet", str(out)]) == 0
    text = capsys.readouterr().out
    assert all(word in text for word in ("student", "teacher", "projector", "optimiser", "known", "checkpoint"))


def test_a_file_without_a_sheet_is_refused_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_small(tmp_path / "run")
    (tmp_path / "sheet.json").write_text("{}")
    assert main(["budget", "explain", str(tmp_path / "run"), "--sheet", str(tmp_path / "sheet.json")]) == 2
    assert "holds no sheet" in capsys.readouterr().err


def test_a_run_is_explained_by_part_and_operator(tmp_path: Path) -> None:
    run_small(tmp_path / "run", "--parameterisation", "exponential")
    found = explain_run(tmp_path / "run", replace(sheet.V100, memory=1.0))
    assert set(found.parts) == {"student", "teacher", "projector", "normalise", "optimiser", "other"}
    assert sum(found.parts.values()) == pytest.approx(found.seconds)
    assert sum(seconds for *_, seconds in found.operators) == pytest.approx(found.seconds)
    assert not found.fits


def test_whitening_is_charged_to_itself_and_not_to_the_optimiser() -> None:
    whitened, standardised = (
        explain("classification", small("--normalise", name), sheet.V100).parts for name in ("whiten", "standardise")
    )
    assert whitened["optimiser"] == pytest.approx(standardised["optimiser"])
    assert whitened["normalise"] > 10 * standardised["normalise"]


@pytest.mark.nightly
def test_this_machine_s_reference_steps_are_predicted_and_ranked() -> None:
    threads = torch.get_num_threads()
    assert threads == 1, "one thread has a clock that other processes' load doesn't enter"
    found = calibrate("cpu", rounds=7)
    assert all(1 / ALLOWED <= row.ratio <= ALLOWED for row in found.rows), printed.verdict(found)
    assert not found.misordered, printed.verdict(found)
