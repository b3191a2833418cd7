"""What a run ran on, recorded with its results."""

import platform
from importlib import metadata

import torch

_PACKAGES = ("stiefel-distill", "torch", "numpy", "geoopt", "scikit-learn")


def environment() -> dict[str, object]:
    """Return the versions and the machine that a figure depends on."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: metadata.version(name) for name in _PACKAGES},
        "torch_threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }
