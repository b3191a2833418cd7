"""ViDT's body: a Swin transformer that carries [DET] tokens beside the patches."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from distill.detection.models.attention import ReconfiguredAttention, Sight
from distill.detection.models.config import VidtConfig
from distill.detection.models.padding import resize, sine_positions


class Body(nn.Module):
    """Stages of blocks; after each, patches are merged four to one. [DET] tokens see patches in the last stage alone;
    `once` is their batch's size before it: 1, or all images'.

    is_checkpointed: a block's insides are computed again in the backward pass.
    """

    def __init__(self, config: VidtConfig):
        super().__init__()
        widths = config.stage_widths
        self.embed = nn.Conv2d(3, widths[0], config.patch, stride=config.patch)
        self.norm = nn.LayerNorm(widths[0])
        self.det_tokens = nn.Parameter(torch.empty(config.queries, widths[0]))
        self.det_positions = nn.Parameter(torch.empty(config.queries, config.width))
        self.stages = nn.ModuleList(Stage(config, stage) for stage in range(len(widths)))
        self.patch, self.drop_path = config.patch, config.drop_path
        self.is_checkpointed = False
        _initialise(self)

    def forward(
        self, images: Float[Tensor, "batch 3 height width"], padding: Bool[Tensor, "batch height width"]
    ) -> tuple[list[Float[Tensor, "batch _ _ _"]], Float[Tensor, "batch queries dim"]]:
        """Return the levels, channels first, finest first, and the [DET] tokens."""
        filled = functional.pad(images, (0, -images.shape[-1] % self.patch, 0, -images.shape[-2] % self.patch))
        patches = self.norm(self.embed(filled).permute(0, 2, 3, 1))
        # Before the last stage [DET] tokens see one another alone: unless blocks are skipped for some images, they are
        # alike for all and computed once.
        count = images.shape[0] if self.training and self.drop_path > 0 else 1
        # Copies: torch's flop counter stumbles over views of weights that enter a module while gradients are off.
        det, positions = self.det_tokens.repeat(count, 1, 1), self.det_positions.repeat(1, 1, 1)
        # The public code finds the last stage's mask by way of a map that is rounded down: so its weights learned it.
        coarse = 2 ** (len(self.stages) - 1)
        mask = resize(padding, (max(patches.shape[1] // coarse, 1), max(patches.shape[2] // coarse, 1)))
        levels = []
        for stage in self.stages:
            level, patches, det = stage(patches, det, positions, mask, self.is_checkpointed)
            levels.append(level.permute(0, 3, 1, 2))
        return [*levels[1:], patches.permute(0, 3, 1, 2)], det


class Stage(nn.Module):
    """Blocks of one width, every other one with shifted windows, and the merging after them."""

    def __init__(self, config: VidtConfig, stage: int):
        super().__init__()
        width, depth, before = config.stage_widths[stage], config.depths[stage], sum(config.depths[:stage])
        # Skipped more often from block to block of the whole body.
        drops = [config.drop_path * (before + block) / (sum(config.depths) - 1) for block in range(depth)]
        self.blocks = nn.ModuleList(
            Block(width, config.heads[stage], config.window, (block % 2) * (config.window // 2), config.width, drop)
            for block, drop in enumerate(drops)
        )
        self.is_last = stage == len(config.depths) - 1
        self.merge = Merge(width, config.width if self.is_last else config.stage_widths[stage + 1])

    def forward(
        self,
        patches: Float[Tensor, "batch h w dim"],
        det: Float[Tensor, "once queries dim"],
        positions: Float[Tensor, "1 queries position_dim"],
        mask: Bool[Tensor, "batch _ _"],
        is_checkpointed: bool,
    ) -> tuple[Float[Tensor, "batch h w dim"], Float[Tensor, "batch _ _ after"], Float[Tensor, "_ queries _"]]:
        """Return the patches as they are here, and both kinds of token for the next stage; after the last, the neck."""
        sight = None
        if self.is_last:
            padding = resize(mask, (patches.shape[1], patches.shape[2]))
            sight = Sight(sine_positions(padding, patches.shape[3]), padding)
            det = det.expand(patches.shape[0], -1, -1)  # len() would tie an exported graph to one batch
        for block in self.blocks:
            arguments = (patches, det, positions, sight)
            is_kept = not (is_checkpointed and torch.is_grad_enabled())
            patches, det = block(*arguments) if is_kept else checkpoint(block, *arguments, use_reentrant=False)
        return patches, self.merge(patches), det if self.is_last else self.merge.spread(det)


class Block(nn.Module):
    """Attention, then an MLP four times as wide; each normed before and added to its input.

    drop: share of images that each of the two is left out for in training; it is scaled up for the others.
    """

    def __init__(self, width: int, heads: int, window: int, shift: int, position_width: int, drop: float):
        super().__init__()
        self.drop = drop
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = ReconfiguredAttention(width, heads, window, shift)
        self.det_position = nn.Linear(position_width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(
        self,
        patches: Float[Tensor, "batch h w dim"],
        det: Float[Tensor, "once queries dim"],
        positions: Float[Tensor, "1 queries position_dim"],
        sight: Sight | None,
    ) -> tuple[Float[Tensor, "batch h w dim"], Float[Tensor, "once queries dim"]]:
        found = self.attention(self.norm_1(patches), self.norm_1(det) + self.det_position(positions), sight)
        patches, det = self._added(patches, det, found)
        return self._added(patches, det, (self.mlp(self.norm_2(patches)), self.mlp(self.norm_2(det))))

    def _added(self, patches: Tensor, det: Tensor, found: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        if not self.training or self.drop == 0:
            return patches + found[0], det + found[1]
        # An image's patches and [DET] tokens are skipped together.
        kept = det.new_empty(len(det), 1, 1).bernoulli_(1 - self.drop) / (1 - self.drop)
        return patches + found[0] * kept[..., None], det + found[1] * kept


class Merge(nn.Module):
    """Patches two by two into one; [DET] tokens pass the same projection as a patch of four equal ones would."""

    def __init__(self, width: int, after: int):
        super().__init__()
        self.norm = nn.LayerNorm(4 * width)
        self.reduce = nn.Linear(4 * width, after, bias=False)

    def forward(self, patches: Float[Tensor, "batch h w dim"]) -> Float[Tensor, "batch _ _ after"]:
        height, width = patches.shape[1:3]
        filled = functional.pad(patches, (0, 0, 0, width % 2, 0, height % 2))
        fours = filled.unflatten(2, (-1, 2)).unflatten(1, (-1, 2))  # (batch, h / 2, 2, w / 2, 2, dim)
        # Column by column within a four, as Swin's weights expect.
        return self.reduce(self.norm(fours.permute(0, 1, 3, 4, 2, 5).flatten(3)))

    def spread(self, det: Float[Tensor, "once queries dim"]) -> Float[Tensor, "once queries after"]:
        """Return [DET] tokens at the next stage's width."""
        return self.reduce(self.norm(det.repeat(1, 1, 4)))


def _initialise(body: Body) -> None:
    for module in body.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for tokens in (body.det_tokens, body.det_positions):
        nn.init.trunc_normal_(tokens, std=0.02)
