"""The learning rate of each method, by successive halving within the budget of one run."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from distill import budget, tasks
from distill.config import Config, changed
from distill.errors import JobsError
from distill.executors import Executor, execute
from distill.grid import Entry
from distill.jobs import Job
from distill.metric import Metric
from distill.results import Trial, Tuning
from distill.run_folder import has_diverged, read_summary

TUNING = "tuning"
# Candidates over the config's own rate, the nearest first, which wins ties; half a decade is about the width of the
# plateau of rates that do equally well.
_FACTORS = tuple(10.0**power for power in (0, 0.5, -0.5, 1, -1))
# How many candidates go on in each rung; a rung spends a third of a run's budget, evenly.
_RUNGS = (5, 3, 2)


def tune(
    task: str,
    config: Config,
    methods: Sequence[Entry],
    seed: int,
    folder: Path,
    teachers: Mapping[str, Path],
    executor: Executor,
) -> dict[str, Tuning]:
    """Return each method's learning rate, by what its trials reach with `seed` on the held-out data.

    Five rates, a decade to either side of the config's, get a fifteenth of the run's budget each; the best three a
    ninth; the best two a sixth: one run's budget in all. Every trial is a run of its own with its schedule whole, so
    short trials favour rates that are quick rather than good: what they choose is alike for all methods, not best.
    Trials are run folders under `tuning` in the comparison's folder; those that are finished are read, so a killed
    tuning comes to the same. A rate that diverges is out, and isn't tried again.

    Raises: what `distill.executors.execute` raises.
    """
    metric = tasks.get(task).metric
    configs = {method.name: replace(changed(config, method.keys), seed=seed) for method in methods}
    rates = {name: [float(f"{factor * own.optimiser.lr:.6g}") for factor in _FACTORS] for name, own in configs.items()}
    trials: dict[str, list[Trial]] = {method.name: [] for method in methods}
    for count in _RUNGS:
        rung: dict[str, list[Job]] = {}
        for method in methods:
            own = configs[method.name]
            share = budget.parse(own.budget).share(len(_RUNGS) * count)
            rung[method.name] = [
                Job(
                    task,
                    replace(changed(own, {"optimiser.lr": rate}), budget=share, evaluations=1),
                    folder / TUNING / method.slug / f"best-{count}" / f"lr-{rate:g}",
                    teachers[method.name],
                )
                for rate in rates[method.name][:count]
            ]
        left = [job for jobs in rung.values() for job in jobs if not has_diverged(job.folder)]
        try:
            execute(left, executor, folder)
        except JobsError as error:
            if not all(map(has_diverged, error.reasons)):
                raise
        for name, jobs in rung.items():
            found = [_trial(job, metric) for job in jobs]
            rates[name] = [trial.rate for trial in sorted(found, key=lambda trial: _rank(trial, metric))]
            trials[name] += found
    return {name: Tuning(rates[name][0], seed, trials[name]) for name in trials}


def _trial(job: Job, metric: Metric) -> Trial:
    rate, text = job.config.optimiser.lr, job.config.budget
    if has_diverged(job.folder):
        return Trial(rate, text, math.nan, 0, 0.0)
    summary = read_summary(job.folder)
    return Trial(rate, text, summary[metric.name], summary["steps"], summary["train_seconds"])


def _rank(trial: Trial, metric: Metric) -> tuple[bool, float]:
    """Return what sorts the best trial first and those that diverged last."""
    return math.isnan(trial.value), -metric.gain(trial.value, 0.0)
