"""Where the runs of a comparison take place, by name; each is one file and one line here."""

from importlib import import_module

from distill.executors.executor import Executor, execute
from stiefel.errors import UnknownNameError

__all__ = ["EXECUTORS", "Executor", "execute", "get"]

EXECUTORS: dict[str, str] = {
    "local": "distill.executors.local:Local",
    "ray": "distill.executors.ray:Ray",
    "slurm": "distill.executors.slurm:Slurm",
}


def get(name: str) -> type[Executor]:
    """Return the executor class called `name`: a dataclass, whose fields are its options.

    Raises: UnknownNameError with the valid names.
    """
    if name not in EXECUTORS:
        raise UnknownNameError("executor", name, EXECUTORS)
    module, _, attribute = EXECUTORS[name].partition(":")
    return getattr(import_module(module), attribute)
