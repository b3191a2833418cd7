"""Tasks by name; each is one file and one line here, imported when first asked for."""

from importlib import import_module

from distill.task import RecipeTask
from stiefel.errors import UnknownNameError

TASKS: dict[str, str] = {
    "classification": "distill.tasks.classification:Classification",
    "detection": "distill.tasks.detection:Detection",
    "generation": "distill.tasks.generation:Generation",
}


def get(name: str) -> type[RecipeTask]:
    """Return the task class called `name`.

    Raises: UnknownNameError with the valid names.
    """
    if name not in TASKS:
        raise UnknownNameError("task", name, TASKS)
    module, _, attribute = TASKS[name].partition(":")
    return getattr(import_module(module), attribute)
