"""The overhead benchmark times every part of both tasks' steps, and its table says which maps miss the goal."""

import json
from pathlib import Path

import pytest

from benchmarks import overhead
from benchmarks.overhead_steps import PLAIN, STUDENT, TASKS, TEACHER, TORCH
from benchmarks.tables import overhead as table

SMALL = {
    "classification": ["--student", "deit_ti", "--teacher", "deit_s", "--image-size", "32", "--batch", "2"],
    "detection": ["--student", "vidt_pico", "--teacher", "vidt_mini", "--image-size", "64", "--batch", "1"],
}


@pytest.mark.parametrize("task", TASKS)
def test_every_part_of_a_step_is_set_against_the_whole(
    task: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "overhead.json"
    words = [task, *SMALL[task], "--map", "cayley", "qr", "--seconds", "0.001", "--device", "cpu", "--out", str(out)]
    assert overhead.main(words) == 0
    results = json.loads(out.read_text())
    rows = results["rows"]
    assert list(rows) == [STUDENT, TEACHER, PLAIN, "cayley", "qr", TORCH]
    assert rows[STUDENT]["of_step"] + rows[TEACHER]["of_step"] == pytest.approx(1)
    for row in rows.values():
        assert row["of_student"] == pytest.approx(row["step_ms"] / rows[STUDENT]["step_ms"])
    assert results["student"] == SMALL[task][1]
    assert "cayley" in capsys.readouterr().out


def test_a_missed_goal_is_marked() -> None:
    parts = {STUDENT: 0.4, TEACHER: 0.6, "quick": 0.01, "slow": 0.011}
    rows = {name: {"step_ms": 1.0, "of_student": share, "of_step": share} for name, share in parts.items()}
    *_, quick, slow = table({"goal": 0.01, "rows": rows}).splitlines()
    assert "**" not in quick
    assert "**1.10%**" in slow


def test_an_unknown_model_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert overhead.main(["detection", "--student", "vidt_nan"]) == 2
    assert "vidt_nano" in capsys.readouterr().err
