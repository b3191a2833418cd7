"""What the values of a game's recipe keys must satisfy, and the names that they take."""

from collections.abc import Sequence

from distill.config import SCHEDULES
from distill.errors import RecipeError
from distill.generation import models
from distill.generation.adversarial import STAKES
from distill.generation.augment import AUGMENTATIONS
from distill.generation.config import GenerationConfig
from distill.validation import at_least, check_parts, one_of


def choices() -> dict[str, Sequence[str]]:
    """Return the names that a key takes."""
    return {
        "game.networks": models.names(),
        "game.stakes": sorted(STAKES),
        "teacher.optimiser.schedule": SCHEDULES,
    }


def idle(config: GenerationConfig) -> list[str]:
    """Return the keys that change nothing in a run of this config."""
    vkd, kd_dlgan = ["projector", "normalise", "loss", "whitening"], ["kd_dlgan"]
    if config.alpha == 0:
        return ["distillation", "parameterisation", "teacher", *vkd, *kd_dlgan]
    if config.distillation == "kd_dlgan":
        return ["parameterisation", *vkd]
    found = kd_dlgan if config.projector == "orthogonal" else [*kd_dlgan, "parameterisation"]
    return found if config.normalise == "whiten" else [*found, "whitening"]


def validate(config: GenerationConfig) -> None:
    """Check the game, and what a game can't do.

    Raises: RecipeError naming the key.
    """
    game, scale = config.game, config.scale
    for key in ("turns", "adaptive_images", "r1_every", "path_every", "patience"):
        at_least(f"game.{key}", getattr(game, key), 1)
    for key in ("r1", "path"):
        at_least(f"game.{key}", getattr(game, key), 0)
    for name in game.augmentations:
        one_of("game.augment", name, list(AUGMENTATIONS))
    if not 0 <= game.adaptive < 1:
        raise RecipeError("game.adaptive", "a mean sign, 0 <= adaptive < 1", game.adaptive)
    if game.adaptive and not game.augmentations:
        raise RecipeError("game.augment", "an augmentation that game.adaptive can dose", game.augment)
    if game.path > 0 and not game.networks.startswith("stylegan2"):
        raise RecipeError("game.path", "0 for networks without styles", game.path)
    check_parts(config, "data.batch_size", config.data.batch_size)
    if config.precision == "float16":
        # One loss scale for two players' gradients, and for gradients of gradients, loses both.
        raise RecipeError("precision", "float32 or bfloat16 for a game", config.precision)
    for key in ("compile", "shard_teacher", "checkpointing"):
        if getattr(scale, key):
            raise RecipeError(f"scale.{key}", "false for a game of several players", True)
