"""Any classifier of timm by its name."""

from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from distill import extras
from distill.errors import ModelError
from distill.models.backbone import Backbone, Normalisation, Output, Wanted


def build(name: str, wanted: Wanted) -> "TimmBackbone":
    """Return timm's model `name`, such as regnety_160.deit_in1k or local-dir:FOLDER.

    What is None stays as the model has it. Pretrained weights keep everything but a head of other classes.

    Raises: MissingExtraError; ModelError for an unknown name with near ones, for weights that can't be had.
    """
    timm = extras.load("timm", needed_by=f"model timm:{name}")
    _check_name(timm, name)
    options: dict[str, Any] = {"num_classes": wanted.classes, "in_chans": wanted.channels}
    published = None if name.startswith("local-dir:") else timm.models.get_pretrained_cfg(name)
    # Only models built for one image size take another as an option.
    if published is not None and published.fixed_input_size and wanted.image_size != published.input_size[-1]:
        options["img_size"] = wanted.image_size
    try:
        model = timm.create_model(name, pretrained=wanted.is_pretrained, **options)
        channels, _, size = model.pretrained_cfg["input_size"]
        return TimmBackbone(
            f"timm:{name}",
            model,
            image_size=wanted.image_size or size,
            channels=wanted.channels or channels,
            is_pretrained=wanted.is_pretrained,
        )
    except ModelError:
        raise
    except OSError as error:
        raise ModelError.no_weights(f"timm:{name}", error) from error
    except (RuntimeError, TypeError, ValueError, AssertionError) as error:  # each family refuses a size in its own way
        raise ModelError.refused(f"timm:{name}", error) from error


class TimmBackbone(Backbone):
    """A model of timm's. Its map is what `forward_features` gives, prefix tokens left out, channels first."""

    def __init__(self, name: str, model: Any, *, image_size: int, channels: int, is_pretrained: bool):
        super().__init__()
        deit = extras.load("timm.models.deit", needed_by=f"model {name}")
        self.name, self.model = name, model
        self.image_size, self.channels = image_size, channels
        self.feature_dim, self.classes = model.num_features, model.num_classes
        self.special = getattr(model, "num_prefix_tokens", 0)
        self.is_channels_last = getattr(model, "output_fmt", "NCHW") == "NHWC"
        self._has_two_heads = isinstance(model, deit.VisionTransformerDistilled)
        self._probe()
        if is_pretrained:
            self.normalisation = _normalisation(model.pretrained_cfg, channels)

    def forward(self, pixels: Float[Tensor, "batch channels size size"]) -> Output:
        features = self.model.forward_features(pixels)
        found = self.as_map(features)
        if self._has_two_heads:
            heads = self.model.head(features[:, 0]), self.model.head_dist(features[:, 1])
            return Output(*heads, found)
        return Output(self.model.forward_head(features), None, found)

    def classify(self, feature: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch classes"]:
        if not self._head_pools:
            raise ModelError.no_pooled_head(self.name)
        return self._head(feature)

    def checkpointing(self, on: bool) -> None:
        try:
            self.model.set_grad_checkpointing(on)
        except AssertionError as error:
            raise ModelError(self.name, "it has no gradient checkpointing", cure="turn it off") from error

    def save(self, folder: Path | str) -> None:
        timm = extras.load("timm", needed_by=f"model {self.name}")
        size = (self.channels, self.image_size, self.image_size)
        pixels = {"mean": self.normalisation.mean, "std": self.normalisation.std} if self.normalisation else {}
        Path(folder).mkdir(parents=True, exist_ok=True)
        timm.models.save_for_hf(self.model, folder, safe_serialization=True, data_config={"input_size": size, **pixels})

    @property
    def native(self) -> nn.Module:
        return self.model

    def _head(self, feature: Tensor) -> Tensor:
        # The head pools a map of one place, or tokens that are all alike, to the feature itself.
        if self._gives_tokens:
            return self.model.forward_head(feature[:, None].expand(-1, self.special + 1, -1))
        return self.model.forward_head(feature[:, None, None] if self.is_channels_last else feature[..., None, None])

    @torch.no_grad()
    def _probe(self) -> None:
        """Learn from one image of noise what kind of features come last, and whether the head pools them.

        Raises: ModelError if they are no map of `feature_dim` channels, before anything is trained on them.
        """
        was_training = self.model.training
        shape = (1, self.channels, self.image_size, self.image_size)
        features = self.model.eval().forward_features(torch.randn(shape, generator=torch.Generator().manual_seed(0)))
        if not isinstance(features, Tensor) or self.as_map(features).shape[1] != self.feature_dim:
            raise ModelError.no_map(self.name, features.shape if isinstance(features, Tensor) else ())
        self._gives_tokens = features.ndim == 3
        self._head_pools = False
        if self.special == 0 or self.model.global_pool == "avg":  # otherwise it reads a token
            logits, pooled = self.model.forward_head(features), self._head(self.as_map(features).mean((-2, -1)))
            # Heads that pool agree to rounding, 1e-6; VGG's, which convolves before it pools, is off by 1e-1.
            self._head_pools = bool((logits - pooled).abs().max() <= 1e-4 * logits.abs().max())
        self.model.train(was_training)


def _check_name(timm: Any, name: str) -> None:
    architecture, _, tag = name.partition(".")
    if name.startswith("local-dir:"):
        return
    known = timm.list_models()
    tags = timm.list_pretrained(f"{architecture}.*") if architecture in known else []
    if architecture not in known or (tag and name not in tags):
        near = tags or get_close_matches(architecture, known, n=5)
        raise ModelError(f"timm:{name}", "timm has no such model", cure=f"near it are {', '.join(near) or 'none'}")


def _normalisation(published: dict[str, Any], channels: int) -> Normalisation:
    """Return what the published weights expect; timm sums their first layer for images of one channel."""
    mean, std = (tuple(float(value) for value in published[key]) for key in ("mean", "std"))
    if channels == len(mean):
        return Normalisation(mean, std)
    return Normalisation((sum(mean) / len(mean),) * channels, (sum(std) / len(std),) * channels)
