"""A comparison's figures for other programs: everything as JSON, and a line a run as CSV."""

import csv
import io
import json
import math
from dataclasses import asdict
from typing import Any

from distill.report.verdict import verdict
from distill.results import Comparison, Method
from distill.statistics import Estimate


def as_json(comparison: Comparison) -> str:
    """Return the comparison as JSON: what was compared, what was found, and every run's summary. No value is null."""
    fields = ("task", "recipe_name", "budget", "seeds", "command", "environment", "notes", "trust")
    content = {name: getattr(comparison, name) for name in fields}
    content |= {"metric": asdict(comparison.metric), "verdict": verdict(comparison)}
    content["methods"] = {method.name: _method(comparison, method) for method in comparison.methods}
    return json.dumps(_plain(content), indent=1, ensure_ascii=False) + "\n"


def as_csv(comparison: Comparison) -> str:
    """Return a line a run: its method's name, the values of the grid, its seed and its summary."""
    varied = list(dict.fromkeys(key for method in comparison.methods for key in method.varied))
    summaries = [run.summary for method in comparison.methods for run in method.runs]
    keys = list(dict.fromkeys(key for summary in summaries for key in summary))
    buffer = io.StringIO()
    table = csv.writer(buffer, lineterminator="\n")
    table.writerow(["name", *varied, "seed", *keys])  # `method` is a key that may vary
    for method in comparison.methods:
        own = [method.varied.get(key, "") for key in varied]
        for run in method.runs:
            table.writerow([method.name, *own, run.seed, *(run.summary.get(key, "") for key in keys)])
    return buffer.getvalue()


def _method(comparison: Comparison, method: Method) -> dict[str, Any]:
    over = comparison.over(method)
    low, high = comparison.gain_bootstrap(method, over=over)
    return {
        "over": method.over,
        "varied": dict(method.varied),
        "teacher": method.teacher,
        comparison.metric.name: _estimate(method.estimate(comparison.metric.name)),
        "gain": {**_estimate(comparison.gain(method, over=over)), "bootstrap": [low, high]},
        "v100_ms_a_step": dict(method.parts_ms),
        "tuning": asdict(method.tuning) if method.tuning else None,
        "runs": [{"seed": run.seed, **run.summary} for run in method.runs],
    }


def _estimate(value: Estimate) -> dict[str, Any]:
    return {"mean": value.mean, "half_width": value.half_width}


def _plain(value: Any) -> Any:
    """Return nested figures without NaN, which JSON doesn't have, and without what is missing."""
    if isinstance(value, dict):
        plain = {key: _plain(each) for key, each in value.items()}
        return {key: each for key, each in plain.items() if each is not None}
    if isinstance(value, list | tuple):
        return [each for each in map(_plain, value) if each is not None]
    return None if isinstance(value, float) and not math.isfinite(value) else value
