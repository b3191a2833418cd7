"""Methods from the same weights, on the same batches, under the same budget, over several seeds."""

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import yaml

from distill import report, tasks, tuning
from distill.budget import sheet
from distill.budget.explain import explain
from distill.config import Config, changed
from distill.environment import environment
from distill.executors import Executor, execute
from distill.grid import Entry
from distill.jobs import Job
from distill.processes import is_first_process
from distill.recipe import to_yaml
from distill.results import Comparison, Method, Run, Tuning
from distill.run_folder import SUMMARY, RunFolder, read_records, read_summary
from distill.train import run_config

TEACHER, RUNS = "teacher", "runs"


def compare(
    task: str,
    recipe_name: str,
    config: Config,
    methods: Sequence[Entry],
    seeds: Sequence[int],
    folder: Path,
    *,
    command: Sequence[str],
    executor: Executor,
    tunes_rate: bool = False,
    trust: Sequence[str] = (),
    resume: bool = False,
) -> Comparison:
    """Run every method with every seed in `folder`, then write the page and the figures there.

    Seed by seed, so that an interrupted comparison is a smaller whole one. With `resume`, finished runs are kept
    and an unfinished one goes on from its checkpoint. tunes_rate: each method's learning rate is tuned first, with a
    seed of its own. trust: sentences on predictions for a V100. Then a step of each method is traced for its cost.

    Raises: RunFolderError, and what `distill.executors.execute` raises.
    """
    # The comparison's own folder is opened like a run's: the same states, the same sentences.
    opened = RunFolder(folder, run_config(task, config) + _listed(methods, seeds, tunes_rate=tunes_rate))
    if is_first_process():
        opened.claim(resume=resume)
    tuned: dict[str, Tuning] = {}
    if tunes_rate:
        teachers = teacher_folders(task, config, methods, folder)
        tuned = tuning.tune(task, config, methods, max(seeds) + 1, folder, teachers, executor)
        rates = {name: {"optimiser.lr": each.rate} for name, each in tuned.items()}
        methods = [replace(method, keys={**method.keys, **rates[method.name]}) for method in methods]
    found = run_all(task, recipe_name, config, methods, seeds, folder, command=command, executor=executor)
    steps = {entry.name: explain(task, changed(config, entry.keys), sheet.V100) for entry in methods}
    costed = [
        replace(method, parts_ms=_milliseconds(steps[method.name].parts), tuning=tuned.get(method.name))
        for method in found.methods
    ]
    large = [name for name, step in steps.items() if not step.fits]
    notes = [f"A step needs more memory than a {sheet.V100.name} has with {', '.join(large)}."] if large else []
    comparison = replace(found, methods=costed, trust=trust, notes=[*found.notes, *notes])
    if is_first_process():
        report.write(comparison, folder)
        opened.finish({"report": report.PAGE, "results": report.RESULTS})
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
    executor: Executor,
) -> Comparison:
    """Run every method with every seed, seed by seed, under `folder`, and return what they found.

    A run that is finished is read, one that was interrupted goes on, any other begins.

    Raises: what `distill.executors.execute` raises.
    """
    teachers = teacher_folders(task, config, methods, folder)
    jobs = [
        Job(
            task,
            replace(changed(config, method.keys), seed=seed),
            run_folder(folder, method, seed),
            teachers[method.name],
        )
        for seed in seeds
        for method in methods
    ]
    execute(jobs, executor, folder)
    kind = tasks.get(task)
    return Comparison(
        task=task,
        recipe_name=recipe_name,
        budget=", ".join(dict.fromkeys(changed(config, method.keys).budget for method in methods)),
        metric=kind.metric,
        methods=[_method(folder, method, seeds, teachers[method.name], kind.metric.name) for method in methods],
        recipe=to_yaml(config),
        environment=environment(),
        command=shlex.join(command),
        notes=kind.notes(config),
    )


def run_folder(folder: Path, method: Entry, seed: int) -> Path:
    """Return where a method's run with a seed lies under the folder of all runs."""
    return folder / RUNS / method.slug / f"seed-{seed}"


def teacher_folders(task: str, config: Config, methods: Sequence[Entry], folder: Path) -> dict[str, Path]:
    """Return where each method's teacher lies: in one folder, unless what it is made from varies."""
    texts = {method.name: tasks.get(task).teacher_of(changed(config, method.keys)) for method in methods}
    several = list(dict.fromkeys(texts.values()))
    if len(several) == 1:
        return dict.fromkeys(texts, folder / TEACHER)
    return {name: folder / f"{TEACHER}-{several.index(text) + 1}" for name, text in texts.items()}


def _listed(methods: Sequence[Entry], seeds: Sequence[int], *, tunes_rate: bool) -> str:
    """Return what is compared as YAML, a line each, so that a comparison of something else is told by its line."""
    content = {
        "seeds": list(seeds),
        "tunes_rate": tunes_rate,
        "methods": {each.name: dict(each.keys) for each in methods},
    }
    return yaml.safe_dump({"compare": content}, sort_keys=False, default_flow_style=None, width=math.inf)


def _method(folder: Path, method: Entry, seeds: Sequence[int], teacher: Path, metric: str) -> Method:
    paths = {seed: run_folder(folder, method, seed) for seed in seeds}
    # A teacher of another kind than its student, such as an encoder, has no figure of the student's.
    taught = read_summary(teacher) if (teacher / SUMMARY).exists() else {}
    return Method(
        name=method.name,
        runs=[Run(seed, read_summary(path), read_records(path)) for seed, path in paths.items()],
        over=method.over,
        varied=method.varied,
        teacher=taught.get(metric, math.nan),
    )


def _milliseconds(seconds: Mapping[str, float]) -> dict[str, float]:
    return {name: 1e3 * each for name, each in seconds.items()}
