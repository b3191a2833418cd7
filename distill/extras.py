"""Optional packages: imported where they are used, and a missing one is an error that names its extra."""

import sys
from functools import cache
from importlib import import_module
from importlib.machinery import PathFinder
from types import ModuleType

import torch

from stiefel.errors import MissingExtraError

EXTRA_OF = {
    "timm": "vision",
    "torchvision": "vision",
    "transformers": "hf",
    "webdataset": "shards",
    "ray": "ray",
    "onnx": "onnx",
    "onnxscript": "onnx",
    "skimage": "generate",
    "torchmetrics": "fid",
    "faster_coco_eval": "detect",
}


def load(module: str, *, needed_by: str) -> ModuleType:
    """Import and return a module of an optional package, such as "timm" or "torchvision.transforms.v2".

    Raises: MissingExtraError naming the extra that brings the package.
    """
    package = module.split(".")[0]
    if package in ("timm", "torchvision", "torchmetrics", "transformers"):  # the others import torchvision themselves
        _schemas_for_torchvision()
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise MissingExtraError(needed_by, package, extra=EXTRA_OF[package]) from error


@cache
def _schemas_for_torchvision() -> torch.library.Library | None:
    """Make `import torchvision` possible where its compiled operators can't be loaded; the cache keeps them defined.

    PyPI's torchvision is built for CUDA. Beside a CPU build of torch its library doesn't load, and the import ends
    with "operator torchvision::nms does not exist". Transforms and models need the two operators' schemas alone;
    whoever calls nms itself still gets an error.
    """
    if "torchvision" in sys.modules:
        return None
    torchvision = PathFinder.find_spec("torchvision")
    compiled = torchvision and PathFinder.find_spec("_C", torchvision.submodule_search_locations)
    if compiled is None or compiled.origin is None:
        return None
    try:
        torch.ops.load_library(compiled.origin)
    except OSError:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        return library
    return None
