"""Detectors by name."""

from collections.abc import Callable

from distill.detection.models.config import PRESETS
from distill.detection.models.detector import Detector
from distill.detection.models.vidt import Vidt
from stiefel.errors import UnknownNameError

DETECTORS: dict[str, Callable[[int], Detector]] = {
    name: lambda classes, config=config: Vidt(config, classes) for name, config in PRESETS.items()
}


def build(name: str, classes: int) -> Detector:
    """Return the untrained detector called `name`.

    Raises: UnknownNameError with the valid names.
    """
    if name not in DETECTORS:
        raise UnknownNameError("detector", name, DETECTORS)
    return DETECTORS[name](classes)
