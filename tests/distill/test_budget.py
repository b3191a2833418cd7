"""Budgets are parsed or refused with a sentence."""

import pytest

from distill import budget
from distill.errors import BudgetError


def test_steps_are_steps_and_epochs_are_multiplied() -> None:
    assert budget.parse("steps:600").steps(7) == 600
    assert budget.parse("epochs:5").steps(7) == 35


@pytest.mark.parametrize(
    "text", ["", "600", "steps", "steps:", "steps:0", "steps:-1", "steps:1.5", "hours:3", "steps:6 0"]
)
def test_anything_else_is_refused_with_the_units_in_the_sentence(text: str) -> None:
    with pytest.raises(BudgetError, match="steps:N, epochs:N, flops:X, wall:TIME, v100:TIME") as caught:
        budget.parse(text)
    assert repr(text) in str(caught.value)
