"""What the figures say and don't say, in plain words."""

from itertools import combinations

from distill.report.table import percent, plus_minus
from distill.results import Comparison, Method


def verdict(comparison: Comparison) -> list[str]:
    """Return sentences: the room there was, what each method gained, which methods can't be told apart."""
    baseline = comparison.baseline
    others = [method for method in comparison.methods if method is not baseline]
    without = baseline.estimate(comparison.metric).mean
    room = f"Without distillation the student reaches {percent(without)}, its teacher {percent(comparison.teacher)}."
    return [room, *(_gain(comparison, method) for method in others), *_ties(comparison, others)]


def _gain(comparison: Comparison, method: Method) -> str:
    gain = comparison.gain(method, over=comparison.baseline)
    if gain.count < 2:
        return f"{method.name}: {plus_minus(gain, signed=True)} %, from a single seed: no interval."
    if not gain.is_clear_of_zero:
        return f"{method.name}: {plus_minus(gain, signed=True)} %, which these seeds can't tell from no distillation."
    return f"{method.name} {'gains' if gain.mean > 0 else 'loses'} {plus_minus(gain, signed=True)} %."


def _ties(comparison: Comparison, methods: list[Method]) -> list[str]:
    tied, told = [], []
    for first, second in combinations(methods, 2):
        gain = comparison.gain(second, over=first)
        if gain.is_clear_of_zero:
            better, worse = (second, first) if gain.mean > 0 else (first, second)
            distance = plus_minus(comparison.gain(better, over=worse))
            told.append(f"{better.name} beats {worse.name} by {distance} %.")
        else:
            tied.append(f"{first.name} and {second.name}")
    if not told and len(methods) > 2:
        return [f"No two of {', '.join(method.name for method in methods)} can be told apart at this budget."]
    return told + ([f"Can't be told apart at this budget: {'; '.join(tied)}."] if tied else [])
