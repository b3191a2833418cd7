"""One run, from its config to its finished folder."""

from pathlib import Path
from typing import Any

import torch

from distill import budget, tasks
from distill.config import Config
from distill.loop import Schedule, fit
from distill.recipe import to_yaml
from distill.run_folder import RunFolder, is_finished, read_summary


def train(
    task_name: str, config: Config, folder: Path, *, teacher_folder: Path | None = None, resume: bool = False
) -> dict[str, Any]:
    """Train a task in `folder` and return its summary; the teacher is trained in `teacher_folder` if need be.

    A run that is finished already is resumed by returning its summary.
    Raises: RunFolderError before anything is computed if `folder` can't take the run; and what `fit` raises.
    """
    run = RunFolder(folder, run_config(task_name, config))
    run.check(resume=resume)
    if is_finished(folder):
        return read_summary(folder)
    task_class = tasks.get(task_name)
    # What only data and models can refuse is refused here, before a folder exists that holds the wrong recipe.
    task_class.untaught(config)
    run.open(resume=resume)
    if config.threads:
        torch.set_num_threads(config.threads)
    task = task_class.prepare(config, teacher_folder or folder / "teacher")
    steps = budget.parse(config.budget).steps(task.steps_per_epoch)
    schedule = Schedule(steps, config.optimiser, config.evaluations, config.precision)
    return fit(task, schedule, run)


def run_config(task_name: str, config: Config) -> str:
    """Return the text of a run's config.yaml: the task and its recipe."""
    return f"task: {task_name}\n{to_yaml(config)}"
