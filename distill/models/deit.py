"""A vision transformer of DeiT's shape: patch tokens, a class token and a distillation token."""

from collections.abc import Callable
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from distill.errors import ModelError, RecipeError
from distill.models.backbone import Backbone, Output
from distill.models.folder import write_folder

_STEM_WIDTH = 64


class DeiT(Backbone):
    """Pre-norm transformer encoder over patch, class and distillation tokens, with a head on each of the last two.

    feature_dim: width of the tokens. VkD distils the mean of the patch tokens; class and distillation token
    stay out of it. stem: "patch" embeds each patch by itself; "convolutional" is Co-Advise's, whose distillation
    token isn't learned but is the mean of the embedded patches.
    Source: Touvron et al., "Training data-efficient image transformers", ICML 2021; Ren et al., "Co-advise", CVPR 2022.
    """

    special = 2  # class and distillation token

    def __init__(
        self,
        *,
        image_size: int,
        channels: int,
        classes: int,
        width: int = 32,
        depth: int = 2,
        heads: int = 4,
        patch: int = 2,
        stem: str = "patch",
    ):
        super().__init__()
        if image_size % patch:
            raise RecipeError("student.patch", f"a divisor of the images' size {image_size}", patch)
        self.settings = {"width": width, "depth": depth, "heads": heads, "patch": patch, "stem": stem}
        self.feature_dim, self.image_size, self.channels, self.classes = width, image_size, channels, classes
        self.embed = _STEMS[stem](channels, width, patch)
        self.class_token = nn.Parameter(torch.zeros(width))
        self.distillation_token = nn.Parameter(torch.zeros(width)) if stem == "patch" else None
        self.position = nn.Parameter(torch.zeros((image_size // patch) ** 2 + self.special, width))
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, classes)
        self.distillation_head = nn.Linear(width, classes)
        self._is_checkpointed = False
        for parameter in (self.class_token, self.distillation_token, self.position):
            if parameter is not None:
                nn.init.trunc_normal_(parameter, std=0.02)

    def forward(self, pixels: Float[Tensor, "batch c h w"]) -> Output:
        patches = self.embed(pixels).flatten(2).transpose(1, 2)  # (batch, patches, width)
        mean = patches.mean(1) if self.distillation_token is None else self.distillation_token
        special = torch.stack([self.class_token.expand(len(pixels), -1), mean.expand(len(pixels), -1)], 1)
        tokens = torch.cat([special, patches], 1) + self.position
        for block in self.blocks:
            is_checkpointed = self._is_checkpointed and torch.is_grad_enabled()
            tokens = checkpoint(block, tokens, use_reentrant=False) if is_checkpointed else block(tokens)
        tokens = self.norm(tokens)
        return Output(self.head(tokens[:, 0]), self.distillation_head(tokens[:, 1]), self.as_map(tokens))

    def classify(self, feature: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch classes"]:
        raise ModelError.no_pooled_head("deit")

    def checkpointing(self, on: bool) -> None:
        self._is_checkpointed = on

    def save(self, folder: Path | str) -> None:
        write_folder(folder, self, {"model": "deit", **self.settings})


def deit_ti(*, image_size: int, channels: int, classes: int) -> DeiT:
    """Return VkD's tiny student: 6.63 M parameters at 224 px and 1000 classes.

    DeiT-Ti's 5.72 M, the second head and a stem that cuts patches from 64 channels instead of 3.
    """
    return _paper(image_size, channels, classes, width=192, heads=3)


def deit_s(*, image_size: int, channels: int, classes: int) -> DeiT:
    """Return VkD's small student: 23.8 M parameters at 224 px and 1000 classes, of which 22.1 M are DeiT-S's."""
    return _paper(image_size, channels, classes, width=384, heads=6)


def _paper(image_size: int, channels: int, classes: int, *, width: int, heads: int) -> DeiT:
    numbers = {"image_size": image_size, "channels": channels, "classes": classes}
    model = DeiT(**numbers, width=width, depth=12, heads=heads, patch=16, stem="convolutional")
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    return model


def _patches(channels: int, width: int, patch: int) -> nn.Module:
    return nn.Conv2d(channels, width, patch, stride=patch)


def _convolutional_stem(channels: int, width: int, patch: int) -> nn.Module:
    """Halve the image and look at each pixel's surroundings before it is cut into patches of half the edge."""
    before = (channels, _STEM_WIDTH, _STEM_WIDTH)
    layers: list[nn.Module] = []
    for size, stride, inputs in zip((7, 3, 3), (2, 1, 1), before, strict=True):
        layers.append(nn.Conv2d(inputs, _STEM_WIDTH, size, stride=stride, padding=size // 2, bias=False))
        layers += [nn.BatchNorm2d(_STEM_WIDTH), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.Conv2d(_STEM_WIDTH, width, patch // 2, stride=patch // 2))


_STEMS: dict[str, Callable[[int, int, int], nn.Module]] = {"patch": _patches, "convolutional": _convolutional_stem}


class Block(nn.Module):
    """Attention, then an MLP four times as wide; each normed before and added to its input."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm_1 = nn.LayerNorm(width, eps=1e-6)
        self.norm_2 = nn.LayerNorm(width, eps=1e-6)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, tokens: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens width"]:
        tokens = tokens + self._attention(self.norm_1(tokens))
        return tokens + self.mlp(self.norm_2(tokens))

    def _attention(self, tokens: Tensor) -> Tensor:
        split = self.query_key_value(tokens).unflatten(
            -1, (3, self.heads, -1)
        )  # (batch, tokens, 3, heads, width/heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return self.output(mixed.transpose(1, 2).flatten(2))
