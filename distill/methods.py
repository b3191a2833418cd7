"""The methods of classification by name: each is a set of recipe keys, which may then be changed one by one."""

from typing import Any

from distill.config import ClassificationConfig

# Weights, layers and tokens stay what the recipe says: baselines are compared with all else the same.
_FEATURES = {"head": "own", "label_weight": 1.0}
_LABELS = {"head": "own", "label_weight": 1.0, "alpha": 0.0, "gamma": 1.0}

METHODS: dict[str, dict[str, Any]] = {
    # Miles et al., CVPR 2024. `parameterisation` chooses the map.
    "vkd": {**_FEATURES, "projector": "orthogonal", "normalise": "standardise", "loss": "smooth_l1"},
    "linear": {**_FEATURES, "projector": "linear", "normalise": "standardise", "loss": "smooth_l1"},
    "mlp": {**_FEATURES, "projector": "mlp", "normalise": "standardise", "loss": "smooth_l1"},
    # Chen et al., NeurIPS 2022.
    "ensemble": {**_FEATURES, "projector": "ensemble", "normalise": "standardise", "loss": "smooth_l1"},
    # Miles & Mikolajczyk, AAAI 2024: its loss standardises both sides over the batch itself.
    "srd": {**_FEATURES, "projector": "linear", "normalise": "none", "loss": "logsum"},
    # Chen et al., CVPR 2022: nothing is learned from labels, the teacher's head reads the projected features.
    "simkd": {
        **_FEATURES,
        **{"projector": "mlp", "normalise": "none", "loss": "mse", "head": "teacher", "label_weight": 0.0},
    },
    # Touvron et al., ICML 2021: no features, the teacher's labels on the distillation head.
    "soft": {**_LABELS, "teacher_labels": "soft"},
    "hard": {**_LABELS, "teacher_labels": "hard"},
    "none": {**_LABELS, "gamma": 0.0},
}


def name_of(config: ClassificationConfig) -> str:
    """Return the method whose keys a config has; "own" where it is none of them."""
    # Where no features are distilled, what the recipe says of a projector makes no method.
    kind = {name: keys for name, keys in METHODS.items() if (config.alpha == 0) == ("alpha" in keys)}
    found = (name for name, keys in kind.items() if all(getattr(config, key) == keys[key] for key in keys))
    return next(found, "own")
