"""Models by name: of ours, of timm, of transformers, or out of a local folder."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from distill.errors import ModelError, RecipeError
from distill.models import timm_models, transformers_models
from distill.models.backbone import Backbone, Normalisation, Wanted
from distill.models.cnn import ConvNet
from distill.models.deit import DeiT, deit_s, deit_ti
from distill.models.folder import read_config
from distill.models.pixels import renormalise
from distill.models.weights import load_weights, read_weights

PRETRAINED = "pretrained"


@dataclass(frozen=True)
class Entry:
    """build: takes image_size, channels, classes, and `keys`: what a recipe may set, with its defaults."""

    build: Callable[..., Backbone]
    keys: Mapping[str, int] = field(default_factory=dict)


MODELS: dict[str, Entry] = {
    "convnet": Entry(ConvNet, {"width": 32}),
    "deit": Entry(DeiT, {"width": 32, "depth": 2, "heads": 4, "patch": 2}),
    "deit_ti": Entry(deit_ti),
    "deit_s": Entry(deit_s),
}


def build(
    name: str,
    *,
    classes: int,
    image_size: int,
    channels: int,
    weights: str = "",
    shape: Mapping[str, int] | None = None,
    keep_head: bool = False,
    pixels: Normalisation | None = None,
) -> Backbone:
    """Return the model called `name` for images of `channels` × `image_size` × `image_size`.

    name: a key of MODELS; timm:NAME, hf:ORG/NAME or hf:FOLDER; a folder that a model was saved to.
    weights: "" for untrained, "pretrained", or the path of a file or a folder with this very model's.
    shape: of its entry's keys, those that aren't left at their defaults.
    keep_head: weights of a library's model keep their head, whatever its classes (a teacher's); without it,
    other classes get an untrained head.
    pixels: how the images are normalised; weights that expect another normalisation are given it. Pretrained ones and
    those of a saved folder say what they expect, a file of weights doesn't.

    Raises: ModelError; MissingExtraError; RecipeError for a shape that the model doesn't take.
    """
    check("model", name, shape or {})
    has_own_head = keep_head and weights != "" and name not in MODELS
    wanted = Wanted(None if has_own_head else classes, image_size, channels, weights == PRETRAINED)
    backbone = _create(name, wanted, shape or {})
    if weights not in ("", PRETRAINED):
        load_weights(name, backbone.native, read_weights(Path(weights)), weights)
    if pixels is not None:
        renormalise(backbone, pixels)
    return backbone


def from_pretrained(folder: Path | str) -> Backbone:
    """Return the model that `distill export`, `Backbone.save`, timm or transformers wrote to a folder.

    Raises: ModelError; MissingExtraError.
    """
    return _create(str(folder), Wanted(is_pretrained=True), {})


def check(role: str, name: str, shape: Mapping[str, int]) -> None:
    """Check a recipe's model as far as its name tells; no library is imported. role: student or teacher.

    Raises: ModelError with near names; RecipeError for a key that the model doesn't take.
    """
    if name not in MODELS:
        _source(name)
    taken = MODELS[name].keys if name in MODELS else {}
    for key, value in shape.items():
        if key not in taken:
            listed = f"takes only {', '.join(taken)}" if taken else "has a shape of its own"
            raise RecipeError(f"{role}.{key}", f"0, as '{name}' {listed}", value)
    resolved = {**taken, **shape}
    if resolved.get("width", 0) % resolved.get("heads", 1):
        raise RecipeError(f"{role}.heads", f"a divisor of {role}.width {resolved['width']}", resolved["heads"])


def _create(name: str, wanted: Wanted, shape: Mapping[str, int]) -> Backbone:
    if name not in MODELS:
        source, inner = _source(name)
        return _SOURCES[source](inner, wanted)
    if wanted.is_pretrained:
        raise ModelError(name, "it has no published weights", cure="train it, or give the path of its weights")
    return MODELS[name].build(**wanted.numbers, **{**MODELS[name].keys, **shape})


def _source(name: str) -> tuple[str, str]:
    """Return (key of _SOURCES, the name there) of a model that isn't in MODELS.

    Raises: ModelError.
    """
    source, colon, inner = name.partition(":")
    if colon and source in ("timm", "hf"):
        return source, inner
    if not Path(name).is_dir():
        near = get_close_matches(name, MODELS, n=3) or list(MODELS)
        raise ModelError(
            name, "there is no such model", cure=f"name {', '.join(near)}, timm:NAME, hf:ORG/NAME or a folder"
        )
    config = read_config(Path(name))
    if "architecture" in config:
        return "timm", f"local-dir:{name}"
    return ("hf", name) if "model_type" in config else ("ours", name)


def _from_folder_of_ours(name: str, wanted: Wanted) -> Backbone:
    config = read_config(Path(name))
    normalisation, saved = config.pop("normalisation", None), config.pop("model", None)
    classes: dict[str, Callable[..., Backbone]] = {"convnet": ConvNet, "deit": DeiT}
    if saved not in classes:
        raise ModelError(name, "its config.json describes no model of ours, timm's or transformers'", cure="export one")
    model = classes[saved](**{**config, **wanted.numbers})
    if wanted.is_pretrained:
        load_weights(name, model, read_weights(Path(name)), name)
        if normalisation is not None:
            model.normalisation = Normalisation(tuple(normalisation["mean"]), tuple(normalisation["std"]))
    return model


_SOURCES: dict[str, Callable[[str, Wanted], Backbone]] = {
    "timm": timm_models.build,
    "hf": transformers_models.build,
    "ours": _from_folder_of_ours,
}
