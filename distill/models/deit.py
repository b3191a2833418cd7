"""A vision transformer of DeiT's shape: patch tokens, a class token and a distillation token."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from distill.errors import RecipeError
from distill.models.backbone import Backbone, Output

# The class and the distillation token stand before the patch tokens.
_SPECIAL = 2


class DeiT(Backbone):
    """Pre-norm transformer encoder over patch, class and distillation tokens, with a head on each of the last two.

    feature_dim: width of the tokens. VkD distils the mean of the patch tokens; class and distillation token
    stay out of it.
    Source: Touvron et al., "Training data-efficient image transformers", ICML 2021.
    """

    def __init__(self, *, image_size: int, channels: int, classes: int, width: int, depth: int, heads: int, patch: int):
        super().__init__()
        if image_size % patch:
            raise RecipeError("student.patch", f"a divisor of the images' size {image_size}", patch)
        self.feature_dim, self.image_size, self.channels = width, image_size, channels
        self.embed = nn.Conv2d(channels, width, patch, stride=patch)
        self.class_token = nn.Parameter(torch.zeros(width))
        self.distillation_token = nn.Parameter(torch.zeros(width))
        self.position = nn.Parameter(torch.zeros((image_size // patch) ** 2 + 2, width))
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, classes)
        self.distillation_head = nn.Linear(width, classes)
        for parameter in (self.class_token, self.distillation_token, self.position):
            nn.init.trunc_normal_(parameter, std=0.02)

    def forward(self, pixels: Float[Tensor, "batch c h w"]) -> Output:
        patches = self.embed(pixels).flatten(2).transpose(1, 2)  # (batch, patches, width)
        special = torch.stack([self.class_token, self.distillation_token]).expand(len(pixels), -1, -1)
        tokens = self.norm(self.blocks(torch.cat([special, patches], 1) + self.position))
        return Output(self.head(tokens[:, 0]), self.distillation_head(tokens[:, 1]), self.as_map(tokens))

    def classify(self, feature: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch classes"]:
        return self.head(feature)

    def as_map(self, inner: Float[Tensor, "batch tokens dim"]) -> Float[Tensor, "batch dim h w"]:
        grid = (self.image_size // self.embed.stride[0],) * 2
        return inner[:, _SPECIAL:].transpose(1, 2).unflatten(2, grid)


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
