"""Frozen teachers of a discriminator: images in −1 … 1 to one feature each, by CLIP or by a classifier's backbone."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from distill import extras
from distill.errors import ModelError, RecipeError
from distill.generation.extractors import fitted, frozen_on_half
from distill.models import Backbone
from distill.models.weights import refuse_misfits

# Of CLIP's training images, red, green and blue.
_MEAN, _DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
_PROMPT = "a photo of a {}."


class Encoder(nn.Module, ABC):
    """A frozen encoder. dim: width of its feature."""

    dim: int

    @abstractmethod
    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch dim"]:
        """Return one feature an image; no gradient reaches the images."""


class BackboneEncoder(Encoder):
    """The pooled last features of a classifier, at the image size that it was built for."""

    def __init__(self, backbone: Backbone):
        super().__init__()
        self.backbone, self.dim = frozen_on_half(backbone), backbone.feature_dim

    @torch.no_grad()
    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch dim"]:
        self.backbone.eval()  # a task that is switched to training switches its teacher too
        return self.backbone(fitted(images, self.backbone.image_size, self.backbone.channels)).feature


class ClipEncoder(Encoder):
    """CLIP's image encoder, to the space that it shares with texts (512 numbers for ViT-B/32).

    preprocessing: `clip` resizes bicubically and normalises by CLIP's mean and deviation, as CLIP was trained.
    `published` is what KD-DLGAN's code does: nearest neighbours (7 times from 32 pixels to 224), and pixels left in
    −1 … 1. Grey images become three equal channels.

    Raises: RecipeError where `published` meets a size that doesn't divide CLIP's.
    """

    def __init__(self, model: Any, *, preprocessing: str = "clip"):
        super().__init__()
        self.vision, self.projection = model.vision_model, model.visual_projection
        self.requires_grad_(False)
        self.preprocessing, self.dim = preprocessing, model.config.projection_dim
        self.image_size = model.config.vision_config.image_size
        mean, deviation = (torch.tensor(each).view(-1, 1, 1) for each in (_MEAN, _DEVIATION))
        # From −1 … 1: (pixel + 1)/2, then CLIP's own.
        self.register_buffer("mean", 2 * mean - 1, persistent=False)
        self.register_buffer("deviation", 2 * deviation, persistent=False)
        self.mean: Tensor
        self.deviation: Tensor

    @torch.no_grad()
    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch dim"]:
        self.eval()
        return self.projection(self.vision(pixel_values=self.preprocess(images)).pooler_output)

    def preprocess(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch 3 size size"]:
        """Return the pixels that CLIP is given."""
        if self.preprocessing == "clip":
            return (fitted(images, self.image_size, 3) - self.mean) / self.deviation
        if self.image_size % images.shape[-1]:
            expected = f"clip, as {images.shape[-1]} pixels don't divide CLIP's {self.image_size}"
            raise RecipeError("teacher.preprocessing", expected, self.preprocessing)
        nearest = functional.interpolate(images, scale_factor=self.image_size // images.shape[-1], mode="nearest")
        return nearest.expand(-1, 3, -1, -1) if images.shape[1] == 1 else nearest


def load_clip(name: str) -> Any:
    """Return the CLIP model of a hub name such as openai/clip-vit-base-patch32, or of a folder.

    Raises: MissingExtraError without transformers; ModelError if its files can't be had or its weights don't fit.
    """
    transformers = extras.load("transformers", needed_by=f"teacher clip:{name}")
    try:
        model, found = transformers.CLIPModel.from_pretrained(name, output_loading_info=True)
    except OSError as error:
        raise ModelError.no_weights(f"clip:{name}", error) from error
    except (RuntimeError, ValueError) as error:
        raise ModelError.refused(f"clip:{name}", error) from error
    refuse_misfits(f"clip:{name}", name, {"missing": sorted(found["missing_keys"])})
    return model.eval()


@torch.no_grad()
def text_features(model: Any, name: str, class_names: Sequence[str]) -> Float[Tensor, "classes dim"]:
    """Return CLIP's feature of "a photo of a CLASS." for each class, by the tokeniser of the same name or folder.

    Raises: ModelError if the tokeniser's files can't be had.
    """
    transformers = extras.load("transformers", needed_by=f"teacher clip:{name}")
    try:
        tokeniser = transformers.AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise ModelError.no_weights(f"clip:{name}", error) from error
    prompts = [_PROMPT.format(each.replace("_", " ")) for each in class_names]
    words = tokeniser(prompts, padding=True, truncation=True, return_tensors="pt")
    return model.text_projection(model.text_model(**words).pooler_output)
