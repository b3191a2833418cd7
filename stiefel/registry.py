"""Find a parameterisation by its name, from a `module:Class`, or from another package's entry point."""

from importlib import import_module
from importlib.metadata import entry_points

from stiefel.base import Claims, Parameterisation
from stiefel.errors import PluginError, UnknownNameError
from stiefel.parameterisations import REGISTRY

ENTRY_POINT_GROUP = "stiefel.parameterisations"


def names() -> list[str]:
    """Return the names of all registered parameterisations: ours and those of installed packages."""
    return sorted(_references())


def get(name: str) -> type[Parameterisation]:
    """Return the class registered as `name`, or named directly as `module:Class`.

    Raises: UnknownNameError with the valid names; PluginError if the reference can't be imported or isn't one.
    """
    if name in REGISTRY:  # Ours can't be replaced; looking through all installed packages takes 10 ms.
        return _load(REGISTRY[name])
    references = _references()
    if name not in references and ":" not in name:
        raise UnknownNameError("parameterisation", name, [*names(), "module:Class"])
    return _load(references.get(name, name))


def describe() -> dict[str, Claims]:
    """Return the claims of every registered parameterisation by name."""
    return {name: get(name).claims for name in names()}


def _references() -> dict[str, str]:
    installed = {entry.name: entry.value for entry in entry_points(group=ENTRY_POINT_GROUP)}
    return installed | REGISTRY


def _load(reference: str) -> type[Parameterisation]:
    module_name, _, class_name = reference.partition(":")
    try:
        found = getattr(import_module(module_name), class_name)
    except (ImportError, AttributeError, ValueError) as error:
        raise PluginError(reference, str(error)) from error
    if not (isinstance(found, type) and issubclass(found, Parameterisation)):
        raise PluginError(reference, f"{found!r} is not a subclass of stiefel.Parameterisation")
    if found.__abstractmethods__ or not isinstance(getattr(found, "claims", None), Claims):
        missing = ", ".join(sorted(found.__abstractmethods__)) or "claims = stiefel.Claims(…)"
        raise PluginError(reference, f"{class_name} lacks {missing}")
    return found
