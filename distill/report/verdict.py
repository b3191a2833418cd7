"""What the figures say and don't say, in plain words."""

import math
import statistics
from collections.abc import Sequence

from distill.budget.calibrate import TOLD_APART
from distill.report.table import in_metric
from distill.results import BASELINE, BETWEEN, Comparison, Method

# So many methods are named in a sentence; more are counted.
_LISTED = 6


def headline(comparison: Comparison) -> str:
    """Return the finding in one sentence: which methods can be told apart, and what a step of each costs."""
    return f"{_apart(comparison)}; {_dearness(comparison.distilled)}."


def verdict(comparison: Comparison) -> list[str]:
    """Return sentences: the headline, the room there was, what each method gained, what the seeds can't tell."""
    return [
        headline(comparison),
        *_room(comparison),
        *_gains(comparison),
        *_limits(comparison),
        *_spending(comparison),
    ]


def gain_in_words(comparison: Comparison, method: Method, *, over: Method) -> str:
    """Return a sentence with what a method gained over another one, as far as the seeds can tell."""
    gain, metric = comparison.gain(method, over=over), comparison.metric
    said = f"{in_metric(gain, metric, signed=True)}{metric.unit}"
    if gain.count < 2:
        return f"{method.name}: {said} over {over.name}, from a single seed: no interval."
    if not gain.is_clear_of_zero:
        return f"{method.name}: {said}, which these seeds can't tell from {over.name}."
    if gain.mean < 0:
        loss = in_metric(comparison.gain(over, over=method), metric)
        return f"{method.name} loses {loss}{metric.unit} against {over.name}."
    return f"{method.name} gains {said} over {over.name}."


def _apart(comparison: Comparison) -> str:
    methods, metric = comparison.distilled, comparison.metric
    if len(comparison.seeds) < 2:
        return "A single seed can't tell methods apart"
    if len(methods) == 1:
        return gain_in_words(comparison, methods[0], over=comparison.over(methods[0])).removesuffix(".")
    best = max(methods, key=lambda method: metric.gain(method.estimate(metric.name).mean, 0.0))
    others = [method for method in methods if method is not best]
    gains = {method.name: comparison.gain(best, over=method) for method in others}
    tied = [name for name, gain in gains.items() if not gain.is_clear_of_zero]
    behind = [
        f"{name} by {in_metric(gain, metric)}{metric.unit}" for name, gain in gains.items() if gain.is_clear_of_zero
    ]
    if not behind:
        names = [method.name for method in methods]
        which = _in_words(names) if len(names) <= _LISTED else f"The {len(names)} methods"
        return f"{which} can't be told apart at this budget"
    beaten = f"{best.name} beats {_in_words(behind) if len(behind) <= _LISTED else f'{len(behind)} others'}"
    which = _in_words(tied) if 0 < len(tied) <= _LISTED else f"{len(tied)} others"
    return f"{beaten}; {which} can't be told apart from it at this budget" if tied else beaten


def _dearness(methods: Sequence[Method]) -> str:
    by_cost = sorted(methods, key=lambda method: method.v100_ms)
    cheapest, dearest = by_cost[0], by_cost[-1]
    times = {method.name: method.v100_ms / cheapest.v100_ms for method in methods}
    dearer = [f"{ratio:.2g} times with {name}" for name, ratio in times.items() if ratio > TOLD_APART]
    if len(dearer) > _LISTED // 2:
        dearer = [f"up to {times[dearest.name]:.2g} times, with {dearest.name},"]
    if dearer:
        return f"a step on a V100 (predicted) costs {_in_words(dearer)} what it costs with {cheapest.name}"
    about = "" if len(methods) == 1 else "about as much with all of them, "
    return f"a step on a V100 (predicted) costs {about}{cheapest.v100_ms:.3g} ms"


def _room(comparison: Comparison) -> list[str]:
    sentences = []
    for method in comparison.baselines:
        without = comparison.metric.said(method.estimate(comparison.metric.name).mean)
        kind = method.name.removeprefix(BASELINE).removeprefix(BETWEEN)
        start = f"Without distillation the student ({kind})" if kind else "Without distillation the student"
        taught = "" if math.isnan(method.teacher) else f", its teacher {comparison.metric.said(method.teacher)}"
        sentences.append(f"{start} reaches {without}{taught}.")
    return sentences


def _gains(comparison: Comparison) -> list[str]:
    """Return a sentence a method; of many their numbers, as the table has each."""
    methods = comparison.distilled
    if len(methods) <= _LISTED:
        return [gain_in_words(comparison, method, over=comparison.over(method)) for method in methods]
    gains = [comparison.gain(method, over=comparison.over(method)) for method in methods]
    clear = [gain.mean > 0 for gain in gains if gain.is_clear_of_zero]
    better, worse, rest = clear.count(True), clear.count(False), len(gains) - len(clear)
    return [f"Of {len(gains)} methods {better} gain over no distillation, {worse} lose; {rest} can't be told from it."]


def _limits(comparison: Comparison) -> list[str]:
    """Return how small a difference the seeds could have shown: the middle one of the intervals' half-widths."""
    methods, count = comparison.distilled, len(comparison.seeds)
    if count < 2 or len(methods) < 2:
        return []
    pairs = [(one, two) for place, one in enumerate(methods) for two in methods[:place]]
    width = statistics.median(comparison.gain(one, over=two).half_width for one, two in pairs)
    return [
        f"With {count} seeds, differences between methods under about {comparison.metric.said(width)} stay unseen here."
    ]


def _spending(comparison: Comparison) -> list[str]:
    tuned = [method.tuning for method in comparison.methods if method.tuning]
    if not tuned:
        return []
    steps, seconds = sum(each.steps for each in tuned), math.fsum(each.train_seconds for each in tuned)
    return [
        f"Each method's learning rate was tuned with seed {tuned[0].seed}, which isn't compared, within the budget of "
        f"one run more: {len(tuned[0].trials)} trials each, in all {steps} steps and {seconds:.3g} s. What trials "
        "reach on the held-out data chose it, so the figures flatter every method a little, alike."
    ]


def _in_words(words: Sequence[str]) -> str:
    """Return words as a sentence lists them."""
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]
