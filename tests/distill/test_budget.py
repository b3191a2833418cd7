"""Budgets are parsed or refused with a sentence."""

import pytest

from distill import budget
from distill.budget import Budget
from distill.errors import BudgetError


def test_steps_are_steps_and_epochs_are_multiplied() -> None:
    assert budget.parse("steps:600").settled(7) == Budget(600, "steps")
    assert budget.parse("epochs:5").settled(7) == Budget(35, "steps")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("steps:600", Budget(600, "steps")),
        ("flops:1e15", Budget(1e15, "flops")),
        ("flops:250", Budget(250, "flops")),
        ("wall:90s", Budget(90, "wall")),
        ("wall:1.5h", Budget(5400, "wall")),
        ("v100:2m", Budget(120, "v100")),
        ("2xv100:1h", Budget(7200, "v100")),
        ("v100:1d", Budget(86400, "v100")),
    ],
)
def test_every_unit_is_read_with_its_own_amount(text: str, expected: Budget) -> None:
    assert budget.parse(text) == expected


WRONG = ["", "600", "steps", "steps:", "steps:0", "steps:-1", "steps:1.5", "hours:3", "steps:6 0"]
WRONG += ["flops:0", "flops:1e999", "flops:1e-3", "flops:nan", "wall:10", "wall:0s", "wall:-1m", "wall:10 m", "v100:2w"]
WRONG += ["2xwall:1h", "0xv100:1h", "xv100:1h", "2x v100:1h", "v100:1h30m"]


@pytest.mark.parametrize("text", WRONG)
def test_anything_else_is_refused_with_the_units_in_the_sentence(text: str) -> None:
    with pytest.raises(BudgetError, match="steps:N, epochs:N, flops:X, wall:TIME, v100:TIME") as caught:
        budget.parse(text)
    assert repr(text) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["steps:600", "epochs:5", "flops:1e15", "wall:10m", "2xv100:1h"])
def test_a_share_of_a_budget_is_a_budget(text: str) -> None:
    whole, third = budget.parse(text), budget.parse(budget.parse(text).share(3))
    assert third.unit == whole.unit
    assert third.amount == (whole.amount // 3 if whole.unit in ("steps", "epochs") else pytest.approx(whole.amount / 3))
    assert budget.parse(budget.parse("steps:2").share(3)).amount == 1
