"""One training step of a task outside of a run, as `distill.loop` takes it, to be traced or timed again and again."""

from collections.abc import Callable
from dataclasses import replace

from distill.budget.trace import Trace
from distill.config import Config
from distill.learner import Learner
from distill.processes import Processes
from distill.task import Task

Step = Callable[[], object]


def training_step(task: Task, config: Config) -> Step:
    """Return a step of a task on its first batch, every player's turns, at a rate of 0.

    The batch is fetched once: data isn't part of it. At a rate of 0 every call does the same work.
    """
    processes = Processes(device=config.device, precision=config.precision, is_alone=True)
    batch = {name: value.to(processes.device) for name, value in task.batch(0).items()}
    settings = replace(config.optimiser, lr=0.0, weight_decay=0.0)
    players = task.players()
    probe = (lambda: task.module(batch)["loss"]) if len(players) == 1 else None
    learners = {
        name: Learner(player, settings, processes, undecayed=task.undecayed(), probe=probe)
        for name, player in players.items()
    }
    task.module.train()

    def step() -> None:
        for name, part in task.turns(batch):
            learners[name].backward(part, config.scale.accumulate)
            learners[name].update()

    return step


def traced(step: Step, task: Task | None = None) -> Trace:
    """Return the trace of a step's second call: the first one makes the optimiser's state."""
    step()
    with Trace(task.parts() if task is not None else {}) as trace:
        step()
    return trace
