"""The growth benchmark finds the exponent that there is, and measures every map."""

import json
from pathlib import Path

import pytest

import stiefel
from benchmarks import growth


@pytest.mark.parametrize("k", [0.0, 1.0, 2.5])
def test_the_fit_finds_the_exponent_of_a_power(k: float) -> None:
    rows = [{"n": n, "step_ms": 3 * n**k} for n in (10, 70, 300, 5000)]
    # Four logarithms of numbers below 1e10, in float64.
    assert growth.exponent(rows, "step_ms") == pytest.approx(k, abs=1e-12)


def test_sizes_below_the_fit_do_not_enter_it() -> None:
    figures = growth.grow("qr", [16, 2048, 4096], 4, fit_from=2048, seconds=0.001, device="cpu")
    fitted = growth.exponent(figures["rows"][1:], "peak_mib")
    assert figures["memory_exponent"] == fitted != growth.exponent(figures["rows"], "peak_mib")


@pytest.mark.parametrize("name", sorted(set(stiefel.names()) - set(growth.LEFT_OUT)))
def test_the_memory_of_every_map_is_linear_in_the_weight(name: str) -> None:
    figures = growth.grow(name, [2048, 4096, 8192], 4, fit_from=0, seconds=0.0, device="cpu")
    assert figures["memory_exponent"] <= growth.GOAL_MEMORY_EXPONENT


def test_the_dense_map_is_not() -> None:
    figures = growth.grow("dense_exponential", [64, 128, 256], 4, fit_from=0, seconds=0.0, device="cpu")
    assert figures["memory_exponent"] > 1.9


def test_every_map_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "growth.json"
    sizes = ["--n", "32", "8", "16", "--p", "4", "--fit-from", "16"]
    assert growth.main([*sizes, "--seconds", "0.001", "--out", str(out), "--device", "cpu"]) == 0
    results = json.loads(out.read_text())
    assert set(results["maps"]) == set(stiefel.names()) - set(growth.LEFT_OUT)
    for figures in results["maps"].values():
        assert [row["n"] for row in figures["rows"]] == [8, 16, 32]
        for row in figures["rows"]:
            assert row["step_ms"] > 0
            assert row["bytes_per_entry"] == pytest.approx(row["peak_mib"] * 2**20 / (row["n"] * 4))
    assert results["environment"]["packages"]["torch"]
    assert "cayley" in capsys.readouterr().out


def test_a_missed_goal_is_marked() -> None:
    good = {"time_exponent": 1.0, "memory_exponent": 1.0, "rows": [{"n": 9, "step_ms": 5.0, "peak_mib": 1.0}]}
    good["rows"][0]["bytes_per_entry"] = 12.0
    bad = {**good, "time_exponent": 2.0}
    _, one, other = growth.judged({"maps": {"good": good, "bad": bad}})
    assert "**" not in "".join(one)
    assert other[1] == "**2.00**"


def test_one_size_is_no_fit(capsys: pytest.CaptureFixture[str]) -> None:
    assert growth.main(["--n", "64", "8192"]) == 2
    assert "a fit takes two sizes n >= 8000" in capsys.readouterr().err
