"""A model of ours on disk: config.json, from which it is built, and model.safetensors."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from distill.errors import ModelError
from distill.models.backbone import Backbone

CONFIG, WEIGHTS = "config.json", "model.safetensors"


def write_folder(folder: Path | str, model: Backbone, settings: dict[str, Any]) -> None:
    """Write a model of ours; `settings` is what its builder takes beyond the images' and the classes' numbers."""
    content = {key: getattr(model, key) for key in ("classes", "image_size", "channels")}
    content["normalisation"] = model.normalisation and asdict(model.normalisation)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, folder / WEIGHTS)
    (folder / CONFIG).write_text(json.dumps({**settings, **content}, indent=2) + "\n", encoding="utf-8")


def read_config(folder: Path) -> dict[str, Any]:
    """Return the content of a model folder's config.json.

    Raises: ModelError if it can't be read.
    """
    try:
        content = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        cure = "give a folder that `distill export`, timm or transformers wrote"
        raise ModelError(str(folder), f"its {CONFIG} can't be read ({error})", cure=cure) from error
    return content if isinstance(content, dict) else {}
