"""Weights from a local file or folder into a model, or one sentence that says which don't fit."""

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from distill.errors import ModelError
from distill.models.folder import WEIGHTS

# What torch's unpickler and safetensors raise for bytes that are something else.
_UNREADABLE = (OSError, EOFError, SafetensorError, UnpicklingError, RuntimeError, ValueError, LookupError)
_NAMED = 4  # keys that an error lists


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the state dict of a *.safetensors or *.pth file, or of a model folder, on the CPU; no code is executed.

    A checkpoint that holds it under "model" or "state_dict", as DeiT's and many others do, is opened there.

    Raises: ModelError.
    """
    file = path / WEIGHTS if path.is_dir() else path
    try:
        loaded: Any = load_file(file) if file.suffix == ".safetensors" else torch.load(file, "cpu", weights_only=True)
    except _UNREADABLE as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ModelError(str(path), f"no weights can be read from it ({reason})", cure="check the path") from error
    for key in ("model", "state_dict"):
        loaded = loaded[key] if isinstance(loaded, dict) and isinstance(loaded.get(key), dict) else loaded
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise ModelError(str(path), "it holds no state dict", cure="save model.state_dict()")
    return loaded


def load_weights(name: str, module: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Load a state dict that must fit in every key and shape.

    Raises: ModelError naming what is missing, what is too much and whose shape differs.
    """
    wanted = module.state_dict()
    wrong = {
        "missing": [key for key in wanted if key not in state],
        "unexpected": [key for key in state if key not in wanted],
        "of another shape": [key for key in wanted if key in state and wanted[key].shape != state[key].shape],
    }
    refuse_misfits(name, source, wrong)
    module.load_state_dict(state)


def refuse_misfits(name: str, source: str, wrong: Mapping[str, list[str]]) -> None:
    """Raise ModelError if any list of `wrong` (what is the matter → keys) isn't empty."""
    said = [f"{what}: {_listed(keys)}" for what, keys in wrong.items() if keys]
    if said:
        cure = "give this model's weights, or name the model that they are of"
        raise ModelError(name, f"the weights of {source} don't fit ({'; '.join(said)})", cure=cure)


def _listed(keys: list[str]) -> str:
    more = f" and {len(keys) - _NAMED} more" if len(keys) > _NAMED else ""
    return ", ".join(keys[:_NAMED]) + more
