"""The methods of data-limited generation by name: each is a set of recipe keys."""

from typing import Any

_VKD = {"distillation": "vkd", "projector": "orthogonal", "loss": "mse"}

METHODS: dict[str, dict[str, Any]] = {
    # First, as it is what a run does without alpha, whatever its other keys.
    "none": {"alpha": 0.0},
    # Miles et al., CVPR 2024, tables 4 and 5: whitened is the paper's own, the others its ablation.
    "vkd_whiten": {**_VKD, "normalise": "whiten"},
    "vkd_standardise": {**_VKD, "normalise": "standardise"},
    "vkd_none": {**_VKD, "normalise": "none"},
    # Cui et al., CVPR 2023, as released.
    "kd_dlgan": {"distillation": "kd_dlgan"},
}
