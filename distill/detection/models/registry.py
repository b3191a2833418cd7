"""Detectors by name: of ours, of transformers, or out of a local folder."""

import json
from collections.abc import Callable
from pathlib import Path

from safetensors.torch import save_file

from distill.detection.models import transformers_detectors
from distill.detection.models.body_weights import is_of_a_body, load_body
from distill.detection.models.config import PRESETS
from distill.detection.models.detector import Detector
from distill.detection.models.transformers_detectors import DeformableDetr
from distill.detection.models.vidt import Vidt
from distill.errors import ModelError
from distill.models.folder import CONFIG, WEIGHTS, read_config
from distill.models.registry import PRETRAINED
from distill.models.weights import load_weights, read_weights
from stiefel.errors import UnknownNameError

DETECTORS: dict[str, Callable[[int], Detector]] = {
    **{name: lambda classes, config=config: Vidt(config, classes) for name, config in PRESETS.items()},
    f"hf:{transformers_detectors.DEFAULT}": lambda classes: transformers_detectors.build(
        transformers_detectors.DEFAULT, classes
    ),
}


def build(name: str, classes: int, *, weights: str = "") -> Detector:
    """Return the detector called `name`: a key of DETECTORS, hf:ORG/NAME or hf:FOLDER.

    weights: "" for untrained; of a name of ours the path of a file or folder with this very model's, or of a file with
    a Swin's that was trained to classify, which is read into the body; of transformers' "pretrained".

    Raises: UnknownNameError with the valid names; ModelError; MissingExtraError.
    """
    check(name)
    if weights == PRETRAINED:
        if name in DETECTORS:
            raise ModelError(name, "it has no published weights here", cure="import them: `distill import-weights`")
        return transformers_detectors.build(name.removeprefix("hf:"), classes, is_pretrained=True)
    if name not in DETECTORS:
        if weights:
            raise ModelError(name, f"its weights are its own, got '{weights}'", cure=f"give '{PRETRAINED}' or none")
        return transformers_detectors.build(name.removeprefix("hf:"), classes)
    detector = DETECTORS[name](classes)
    if weights:
        state = read_weights(Path(weights))
        if isinstance(detector, Vidt) and is_of_a_body(state):
            load_body(detector, state, weights)
        else:
            load_weights(name, detector, state, weights)
    return detector


def check(name: str) -> None:
    """Check a name as far as it tells by itself; no library is imported.

    Raises: UnknownNameError with the valid names.
    """
    if name not in DETECTORS and not name.startswith("hf:"):
        raise UnknownNameError("detector", name, [*DETECTORS, "hf:ORG/NAME", "hf:FOLDER"])


def save(name: str, detector: Detector, folder: Path | str) -> None:
    """Write config.json and model.safetensors, which `from_pretrained` reads; those of transformers' are its own."""
    if isinstance(detector, DeformableDetr):
        detector.model.save_pretrained(folder)
        return
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_file({key: tensor.contiguous() for key, tensor in detector.state_dict().items()}, folder / WEIGHTS)
    content = {"model": name, "classes": detector.classes}
    (folder / CONFIG).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def from_pretrained(folder: Path | str) -> Detector:
    """Return the detector that `save`, `distill export`, `distill import-weights` or transformers wrote to a folder.

    Raises: ModelError; UnknownNameError; MissingExtraError.
    """
    config = read_config(Path(folder))
    if "model_type" in config:
        return transformers_detectors.build(str(folder), is_pretrained=True)
    if not {"model", "classes"} <= set(config):
        raise ModelError(str(folder), "its config.json describes no detector of ours", cure="export or import one")
    return build(config["model"], config["classes"], weights=str(folder))
