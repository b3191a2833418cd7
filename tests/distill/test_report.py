"""Intervals, verdicts and the page of a comparison."""

import math
import re
from pathlib import Path

import pytest
from scipy import stats

from distill.report import console_table, write_page
from distill.report.table import table
from distill.report.verdict import gain_in_words, verdict
from distill.results import BASELINE, Comparison, Method, Run
from distill.statistics import estimate, paired_difference


def comparison(**accuracies: list[float]) -> Comparison:
    """A comparison of methods with the given accuracies over seeds; orthogonal ones have a defect."""

    def run(seed: int, accuracy: float, is_orthogonal: bool) -> Run:
        extra = {"defect": 1e-6} if is_orthogonal else {}
        records = [
            {"step": step, "accuracy": accuracy * step / 20, "test_loss": 1 / step, **extra} for step in (10, 20)
        ]
        return Run(seed, {"accuracy": accuracy, "train_seconds": 1.0 + seed, **extra}, records)

    methods = [
        Method(name.replace("_", " "), [run(seed, value, name == "cayley") for seed, value in enumerate(values)])
        for name, values in accuracies.items()
    ]
    return Comparison(
        task="classification",
        recipe_name="digits",
        budget="steps:20",
        metric="accuracy",
        teacher=0.99,
        methods=methods,
        recipe="alpha: 1.0\n",
        environment={"torch": "2.13"},
        command="distill compare <classification>",
    )


@pytest.fixture
def three_seeds() -> Comparison:
    return comparison(no_distillation=[0.80, 0.82, 0.81], linear=[0.80, 0.84, 0.80], cayley=[0.90, 0.92, 0.91])


def test_the_interval_is_students_t() -> None:
    values = [0.1, 0.4, 0.35, 0.2]
    low, high = stats.t.interval(0.95, 3, loc=sum(values) / 4, scale=stats.sem(values))
    assert math.isclose(estimate(values).mean + estimate(values).half_width, float(high))
    assert math.isclose(estimate(values).mean - estimate(values).half_width, float(low))


def test_a_single_seed_has_no_interval_and_tells_nothing_from_zero() -> None:
    assert math.isnan(estimate([0.5]).half_width)
    assert not estimate([0.5]).is_clear_of_zero


def test_pairing_by_seed_cancels_what_both_share() -> None:
    shared = [0.2, 0.5, 0.9]
    assert paired_difference([value + 0.1 for value in shared], shared).half_width < 1e-12 < estimate(shared).half_width


def test_the_verdict_claims_only_what_the_interval_shows(three_seeds: Comparison) -> None:
    text = " ".join(verdict(three_seeds))
    assert "cayley gains +10.00" in text
    assert re.search(r"linear: [+-]\d+\.\d+ ± .* can't tell from no distillation", text)
    assert "cayley beats linear by" in text


def test_a_loss_is_said_without_a_second_minus(three_seeds: Comparison) -> None:
    baseline, _, cayley = three_seeds.methods
    assert gain_in_words(three_seeds, cayley, over=baseline) == "cayley gains +10.00 ± 0.00 % over no distillation."
    assert gain_in_words(three_seeds, baseline, over=cayley) == "no distillation loses 10.00 ± 0.00 % against cayley."


def test_methods_within_each_others_noise_are_called_a_tie() -> None:
    text = " ".join(verdict(comparison(no_distillation=[0.5, 0.6], linear=[0.7, 0.9], cayley=[0.9, 0.7])))
    assert "Can't be told apart at this budget: linear and cayley." in text


def test_the_table_has_a_row_a_method_and_the_teacher(three_seeds: Comparison) -> None:
    rows = table(three_seeds).rows
    assert [row[0] for row in rows] == [BASELINE, "linear", "cayley", "teacher"]
    assert [row[-1] for row in rows] == ["-", "-", "1.0e-06", ""]
    assert console_table(three_seeds).row_count == 4


def test_the_page_is_self_contained_and_escapes_what_it_is_given(three_seeds: Comparison, tmp_path: Path) -> None:
    write_page(three_seeds, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert page.count("<svg") == 3
    assert "&lt;classification&gt;" in page
    assert re.findall(r"""(?:src|href)=["'](?!data:|#)[^"']*""", page) == []
    assert "@import" not in page
