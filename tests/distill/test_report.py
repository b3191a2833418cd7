"""Intervals, verdicts, tables and raw figures of a comparison."""

import csv
import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest
from comparisons import DISTANCE, comparison
from scipy import stats

from distill.report import console_table
from distill.report.latex import as_latex
from distill.report.raw import as_csv, as_json
from distill.report.table import measured, parts, table
from distill.report.verdict import gain_in_words, headline, verdict
from distill.results import BASELINE, Comparison, Trial, Tuning
from distill.statistics import bootstrap, estimate, paired_difference


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
    assert all(map(math.isnan, bootstrap([0.5])))


def test_pairing_by_seed_cancels_what_both_share() -> None:
    shared = [0.2, 0.5, 0.9]
    assert paired_difference([value + 0.1 for value in shared], shared).half_width < 1e-12 < estimate(shared).half_width


def test_the_bootstrap_is_scipy_s_and_the_same_each_time() -> None:
    values = np.random.default_rng(1).normal(size=12).tolist()
    other = stats.bootstrap((values,), np.mean, method="percentile", rng=np.random.default_rng(7)).confidence_interval
    # Each end is a quantile of 9999 draws, good to about a fiftieth of the standard error.
    assert bootstrap(values) == pytest.approx((other.low, other.high), abs=0.05 * stats.sem(values) * 2)
    assert bootstrap(values) == bootstrap(list(values))


def test_three_seeds_bootstrap_holds_the_truth_in_three_quarters_of_cases_and_student_in_its_95() -> None:
    samples = np.random.default_rng(0).normal(size=(400, 3)).tolist()
    by_student = [abs(estimate(sample).mean) < estimate(sample).half_width for sample in samples]
    ends = [bootstrap(sample) for sample in samples]
    by_bootstrap = [low <= 0 <= high for low, high in ends]
    # Three standard errors of a share of 400 are 0.065 at 0.75, and 0.033 at 0.95.
    assert np.mean(by_bootstrap) == pytest.approx(0.75, abs=0.065)
    assert np.mean(by_student) == pytest.approx(0.95, abs=0.033)


def test_the_verdict_claims_only_what_the_interval_shows(three_seeds: Comparison) -> None:
    text = " ".join(verdict(three_seeds))
    assert "cayley gains +10.00" in text
    assert re.search(r"linear: [+-]\d+\.\d+ ± .* can't tell from no distillation", text)
    assert headline(three_seeds).startswith("cayley beats linear by 9.67 ± ")


def test_a_loss_is_said_without_a_second_minus(three_seeds: Comparison) -> None:
    baseline, _, cayley = three_seeds.methods
    assert gain_in_words(three_seeds, cayley, over=baseline) == "cayley gains +10.00 ± 0.00 % over no distillation."
    assert gain_in_words(three_seeds, baseline, over=cayley) == "no distillation loses 10.00 ± 0.00 % against cayley."


def test_methods_within_each_others_noise_are_called_a_tie() -> None:
    tied = comparison(no_distillation=[0.5, 0.6], linear=[0.7, 0.9], cayley=[0.9, 0.7])
    assert headline(tied).startswith("linear and cayley can't be told apart at this budget; ")
    mixed = comparison(no_distillation=[0.5, 0.6], linear=[0.1, 0.11], cayley=[0.8, 0.81], mlp=[0.8, 0.82])
    assert "; cayley can't be told apart from it at this budget" in headline(mixed)


def test_many_methods_are_counted_not_named() -> None:
    many = {f"width_{width}": [0.8, 0.8 + width / 1000] for width in range(7)}
    text = " ".join(verdict(comparison(no_distillation=[0.5, 0.52], **many)))
    assert text.startswith("The 7 methods can't be told apart")
    assert re.search(r"Of 7 methods \d gain over no distillation, 0 lose; \d can't be told from it\.", text)


def test_a_single_seed_is_said_to_tell_nothing() -> None:
    assert headline(comparison(no_distillation=[0.5], linear=[0.7], cayley=[0.9])).startswith("A single seed can't")


def test_what_is_dearer_by_more_than_the_model_can_tell_is_said() -> None:
    found = comparison(no_distillation=[0.5, 0.6], linear=[0.7, 0.9], cayley=[0.9, 0.7])
    assert headline(found).endswith("costs about as much with all of them, 1.2 ms.")
    *others, cayley = found.methods
    dear = replace(found, methods=[*others, replace(cayley, parts_ms={"projector": 3.6})])
    assert headline(dear).endswith("costs 3 times with cayley what it costs with linear.")


def test_of_a_distance_less_is_better_and_nothing_is_in_per_cent() -> None:
    found = comparison(
        DISTANCE, no_distillation=[40.0, 41.0], linear=[38.0, 39.5], cayley=[20.0, 21.0], teacher=math.nan
    )
    assert headline(found).startswith("cayley beats linear by 18.250 ± ")
    text = " ".join(verdict(found))
    assert "cayley gains +20.000 ± 0.000 FID over no distillation." in text
    assert "Without distillation the student reaches 40.500 FID." in text
    assert "%" not in text
    assert table(found).headers[:3] == ["method", "FID", "gain"]
    assert [row[0] for row in table(found).rows] == [BASELINE, "linear", "cayley"]


def test_the_table_has_a_row_a_method_and_the_teacher(three_seeds: Comparison) -> None:
    rows = table(three_seeds).rows
    assert [row[0] for row in rows] == [BASELINE, "linear", "cayley", "teacher"]
    assert [row[-1] for row in rows] == ["-", "-", "1.0e-06", ""]
    assert console_table(three_seeds).row_count == 4


def test_teachers_that_differ_are_a_column(three_seeds: Comparison) -> None:
    first, *others = three_seeds.methods
    found = table(replace(three_seeds, methods=[replace(first, teacher=0.5), *others]))
    assert found.headers[-1] == "teacher, %"
    assert [row[-1] for row in found.rows] == ["50.00", "99.00", "99.00"]


def test_costs_are_split_by_part_and_data_is_a_share_of_the_clock_s_seconds(three_seeds: Comparison) -> None:
    assert parts(three_seeds).headers == ["method", "student", "teacher", "projector", "optimiser", "other", "together"]
    assert parts(three_seeds).rows[0] == [BASELINE, "0.500", "-", "-", "0.100", "-", "0.600"]
    assert measured(three_seeds).rows[1] == ["linear", "20", "51.00 ± 2.48", "5.0%", "2.00 ± 2.48", "0.024"]


def test_tuned_rates_and_what_they_cost_are_said(three_seeds: Comparison) -> None:
    trials = [Trial(0.1, "steps:4", 0.5, 4, 0.5), Trial(1.0, "steps:4", math.nan, 0, 0.0)]
    tuned = [replace(method, tuning=Tuning(0.1, 3, trials)) for method in three_seeds.methods]
    found = replace(three_seeds, methods=tuned)
    assert [row[-1] for row in table(found).rows] == ["0.1", "0.1", "0.1", ""]
    assert "in all 12 steps and 1.5 s" in " ".join(verdict(found))
    assert json.loads(as_json(found))["methods"]["linear"]["tuning"]["trials"][1]["rate"] == 1.0


def test_raw_figures_hold_every_run(three_seeds: Comparison) -> None:
    header, *_ = csv.reader(as_csv(three_seeds).splitlines())
    assert len(set(header)) == len(header)
    rows = list(csv.DictReader(as_csv(three_seeds).splitlines()))
    assert [(row["name"], row["seed"]) for row in rows[:4]] == [
        (BASELINE, "0"),
        (BASELINE, "1"),
        (BASELINE, "2"),
        ("linear", "0"),
    ]
    assert float(rows[4]["accuracy"]) == 0.84
    assert rows[3]["defect"] == ""
    content = json.loads(as_json(three_seeds))
    assert content["metric"]["is_higher_better"] is True
    assert content["methods"]["cayley"]["gain"]["mean"] == pytest.approx(0.1)
    assert [run["accuracy"] for run in content["methods"]["linear"]["runs"]] == [0.80, 0.84, 0.80]


def test_a_number_that_isn_t_one_is_left_out_of_the_json() -> None:
    content = json.loads(as_json(comparison(no_distillation=[0.5], linear=[0.7])), parse_constant=pytest.fail)
    assert "half_width" not in content["methods"]["linear"]["gain"]


def test_the_latex_table_is_booktabs_and_escapes_what_it_is_given(three_seeds: Comparison) -> None:
    text = as_latex(replace(three_seeds, methods=[replace(three_seeds.methods[0], name="a_b & 5 %", over="a_b & 5 %")]))
    body = [line for line in text.splitlines() if not line.startswith("%")]
    assert body[1] == r"\toprule"
    assert body[4].startswith(r"a\_b \& 5 \% & 81.00 $\pm$ 2.48 & ")
    assert all(line.count(" & ") == body[2].count(" & ") for line in body if line.endswith(r"\\"))


def test_numbers_are_set_as_mathematics_in_latex(three_seeds: Comparison) -> None:
    text = as_latex(three_seeds)
    assert r"$1.0\cdot10^{-6}$" in text
    assert r"+10.00 $\pm$ 0.00" in text
    worse = comparison(no_distillation=[0.8, 0.8, 0.8], linear=[0.7, 0.69, 0.71])
    assert r"& $-$10.00 $\pm$ 2.48 & $-$11.00 \dots{} $-$9.00" in as_latex(worse)
