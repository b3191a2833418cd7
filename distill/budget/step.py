"""One training step of a task outside of a run, as `distill.loop` takes it, to be traced or timed again and again."""

from collections.abc import Callable

import stiefel
from distill.budget.trace import Trace
from distill.config import Config
from distill.processes import Processes
from distill.task import Task

Step = Callable[[], object]


def training_step(task: Task, config: Config) -> Step:
    """Return forward, backward, clipping and the optimiser's update of a task's first batch, at a rate of 0.

    The batch is fetched once: data isn't part of it. At a rate of 0 every call does the same work.
    """
    processes = Processes(device=config.device, precision=config.precision, is_alone=True)
    built = stiefel.optim.build(task.module, config.optimiser.name, lr=0.0, undecayed=task.undecayed())
    batch = {name: value.to(processes.device) for name, value in task.batch(0).items()}
    module, optimiser = processes.setup(task.module, built, lambda: task.module(batch)["loss"], compiled=False)
    parts = {name: value.chunk(config.scale.accumulate) for name, value in batch.items()}
    module.train()

    def step() -> None:
        optimiser.zero_grad()
        for index in range(config.scale.accumulate):
            losses = module({name: chunks[index] for name, chunks in parts.items()})
            processes.backward(losses["loss"] / config.scale.accumulate)
        if config.optimiser.clip_norm > 0:
            processes.clip(module, optimiser, config.optimiser.clip_norm)
        optimiser.step()

    return step


def traced(step: Step, task: Task | None = None) -> Trace:
    """Return the trace of a step's second call: the first one makes the optimiser's state."""
    step()
    with Trace(task.parts() if task is not None else {}) as trace:
        step()
    return trace
