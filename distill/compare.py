"""Methods from the same weights, on the same batches, under the same budget, over several seeds."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import stiefel
from distill import tasks
from distill.config import Config
from distill.environment import environment
from distill.jobs import Job
from distill.progress import progress_bar
from distill.recipe import to_yaml
from distill.report import write_page
from distill.results import BASELINE, Comparison, Method, Run
from distill.run_folder import RunFolder, read_records, read_summary, write_atomically
from distill.train import run_config, train

TEACHER, RUNS, RESULTS, REPORT = "teacher", "runs", "comparison.json", "report.html"


@dataclass(frozen=True)
class Entry:
    """One method of a comparison: its name and the recipe keys that make it."""

    name: str
    keys: dict[str, Any]

    @property
    def slug(self) -> str:
        """The name as a folder's name."""
        return "".join(letter if letter.isalnum() or letter in "_-" else "-" for letter in self.name)


def entries(parameterisations: Sequence[str]) -> list[Entry]:
    """Return the methods: no distillation, a linear projector, an orthogonal one by each parameterisation.

    Raises: UnknownNameError, PluginError.
    """
    for name in parameterisations:
        stiefel.get(name)
    orthogonal = [Entry(name, {"projector": "orthogonal", "parameterisation": name}) for name in parameterisations]
    baselines = [Entry(BASELINE, {"alpha": 0.0, "gamma": 0.0}), Entry("linear", {"projector": "linear"})]
    return [*baselines, *orthogonal]


def compare(
    task: str,
    recipe_name: str,
    config: Config,
    methods: Sequence[Entry],
    seeds: Sequence[int],
    folder: Path,
    *,
    command: Sequence[str],
    resume: bool = False,
) -> Comparison:
    """Run every method with every seed in `folder`, then write comparison.json and report.html there.

    Seed by seed, so that an interrupted comparison is a smaller whole one. With `resume`, finished runs are kept
    and an unfinished one goes on from its checkpoint.

    Raises: RunFolderError, and what `train` raises.
    """
    # The comparison's own folder is opened like a run's: the same states, the same sentences.
    listed = {"methods": [method.name for method in methods], "seeds": list(seeds)}
    opened = RunFolder(folder, f"{run_config(task, config)}compare: {json.dumps(listed)}\n")
    opened.open(resume=resume)
    comparison = run_all(task, recipe_name, config, methods, seeds, folder, command=command)
    write_page(comparison, folder / REPORT)
    write_atomically(folder / RESULTS, json.dumps(_as_json(comparison), indent=1) + "\n")
    opened.finish({"report": REPORT, "results": RESULTS})
    return comparison


def run_all(
    task: str,
    recipe_name: str,
    config: Config,
    methods: Sequence[Entry],
    seeds: Sequence[int],
    folder: Path,
    *,
    command: Sequence[str],
) -> Comparison:
    """Run every method with every seed, seed by seed, under `folder`, and return what they found.

    A run that is finished is read, one that was interrupted goes on, any other begins.

    Raises: what `train` raises.
    """
    jobs = [_job(task, config, method, seed, folder) for seed in seeds for method in methods]
    with progress_bar() as progress:
        bar = progress.add_task("all runs", total=len(jobs))
        for job in jobs:
            train(job.task, job.config, job.folder, teacher_folder=job.teacher_folder, resume=True)
            progress.advance(bar)
    metric = read_summary(run_folder(folder, methods[0], seeds[0]))["metric"]
    return Comparison(
        task=task,
        recipe_name=recipe_name,
        budget=config.budget,
        metric=metric,
        teacher=read_summary(folder / TEACHER)[metric],
        methods=[_method(folder, method, seeds) for method in methods],
        recipe=to_yaml(config),
        environment=environment(),
        command=shlex.join(command),
        notes=tasks.get(task).notes(config),
    )


def run_folder(folder: Path, method: Entry, seed: int) -> Path:
    """Return where a method's run with a seed lies under the folder of all runs."""
    return folder / RUNS / method.slug / f"seed-{seed}"


def _job(task: str, config: Config, method: Entry, seed: int, folder: Path) -> Job:
    run = replace(config, seed=seed, **method.keys)
    return Job(task, run, run_folder(folder, method, seed), folder / TEACHER)


def _method(folder: Path, method: Entry, seeds: Sequence[int]) -> Method:
    paths = {seed: run_folder(folder, method, seed) for seed in seeds}
    return Method(method.name, [Run(seed, read_summary(path), read_records(path)) for seed, path in paths.items()])


def _as_json(comparison: Comparison) -> dict[str, Any]:
    methods = {method.name: [{"seed": run.seed, **run.summary} for run in method.runs] for method in comparison.methods}
    fields = ("task", "recipe_name", "budget", "metric", "teacher", "command", "environment")
    return {**{name: getattr(comparison, name) for name in fields}, "methods": methods}
