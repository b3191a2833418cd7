"""What a run or a measurement ran on, recorded with its results."""

import os
import platform
from importlib import metadata

import torch

_PACKAGES = ("stiefel-distill", "torch", "numpy", "geoopt", "geotorch", "scikit-learn")


def environment() -> dict[str, object]:
    """Return the versions and the machine that a figure depends on; a package that isn't installed is null."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "packages": {name: _version(name) for name in _PACKAGES},
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
