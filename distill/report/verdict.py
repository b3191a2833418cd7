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
    gains = (gain_in_words(comparison, method, over=baseline) for method in others)
    return [room, *gains, *_ties(comparison, others)]


def gain_in_words(comparison: Comparison, method: Method, *, over: Method) -> str:
    """Return a sentence with what a method gained over another one, as far as the seeds can tell."""
    gain = comparison.gain(method, over=over)
    said = f"{plus_minus(gain, signed=True)} %"
    if gain.count < 2:
        return f"{method.name}: {said} over {over.name}, from a single seed: no interval."
    if not gain.is_clear_of_zero:
        return f"{method.name}: {said}, which these seeds can't tell from {over.name}."
    if gain.mean < 0:
        return f"{method.name} loses {plus_minus(comparison.gain(over, over=method))} % against {over.name}."
    return f"{method.name} gains {said} over {over.name}."


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
