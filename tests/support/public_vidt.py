"""The names and shapes of a checkpoint of ViDT's authors, as their code at commit 5207d04 writes it."""

from argparse import Namespace

import torch
from torch import Tensor

from distill.detection.models.config import VidtConfig


def checkpoint(config: VidtConfig, classes: int) -> dict[str, object]:
    """Return what `torch.save` is given there, with seeded weights."""
    generator = torch.Generator().manual_seed(4)
    state = {key: torch.randn(shape, generator=generator) * 0.05 for key, shape in _shapes(config, classes).items()}
    for key in [key for key in state if key.startswith("bbox_embed")]:
        state[f"transformer.decoder.{key}"] = state[key]
    for stage, depth in enumerate(config.depths):
        for block in range(depth):
            state[f"backbone.layers.{stage}.blocks.{block}.attn.relative_position_index"] = _index(config.window)
    return {"model": state, "epoch": 49, "args": Namespace(method="vidt", det_token_num=config.queries)}


def _shapes(config: VidtConfig, classes: int) -> dict[str, tuple[int, ...]]:
    width, widths = config.width, config.stage_widths
    shapes = {
        "backbone.det_token": (1, config.queries, widths[0]),
        "backbone.det_pos_embed": (1, config.queries, width),
    }
    shapes |= _layer("backbone.patch_embed.proj", (widths[0], 3, config.patch, config.patch))
    shapes |= _norm("backbone.patch_embed.norm", widths[0])
    for stage, dim in enumerate(widths):
        here, after = f"backbone.layers.{stage}", config.level_widths[stage]
        for block in range(config.depths[stage]):
            inner = f"{here}.blocks.{block}"
            shapes |= _norm(f"{inner}.norm1", dim) | _norm(f"{inner}.norm2", dim)
            table = ((2 * config.window - 1) ** 2, config.heads[stage])
            shapes[f"{inner}.attn.relative_position_bias_table"] = table
            shapes |= _layer(f"{inner}.attn.qkv", (3 * dim, dim)) | _layer(f"{inner}.attn.proj", (dim, dim))
            shapes |= _layer(f"{inner}.mlp.fc1", (4 * dim, dim)) | _layer(f"{inner}.mlp.fc2", (dim, 4 * dim))
            shapes |= _layer(f"{inner}.det_pos_linear", (dim, width))
        shapes |= {f"{here}.downsample.reduction.weight": (after, 4 * dim)} | _norm(f"{here}.downsample.norm", 4 * dim)
        shapes |= {f"{here}.downsample.expansion.weight": (after, dim)} | _norm(f"{here}.downsample.norm2", dim)
        if stage:
            shapes |= _norm(f"backbone.norm{stage}", dim)
        shapes |= _projection(f"input_proj.{stage}", after, width)
    shapes |= _projection("tgt_proj", widths[-1], width) | _projection("query_pos_proj", width, width)
    shapes |= _layer("transformer.reference_points", (2, width)) | {"transformer.level_embed": (4, width)}
    for layer in range(config.neck_layers):
        inner, samples = f"transformer.decoder.layers.{layer}", config.neck_heads * 4 * config.points
        shapes |= _layer(f"{inner}.cross_attn.sampling_offsets", (2 * samples, width))
        shapes |= _layer(f"{inner}.cross_attn.attention_weights", (samples, width))
        shapes |= _layer(f"{inner}.cross_attn.value_proj", (width, width))
        shapes |= _layer(f"{inner}.cross_attn.output_proj", (width, width))
        shapes |= {
            f"{inner}.self_attn.in_proj_weight": (3 * width, width),
            f"{inner}.self_attn.in_proj_bias": (3 * width,),
        }
        shapes |= _layer(f"{inner}.self_attn.out_proj", (width, width))
        shapes |= _layer(f"{inner}.linear1", (config.neck_hidden, width))
        shapes |= _layer(f"{inner}.linear2", (width, config.neck_hidden))
        for norm in (1, 2, 3):
            shapes |= _norm(f"{inner}.norm{norm}", width)
    for prediction in range(config.neck_layers + 1):
        shapes |= _layer(f"class_embed.{prediction}", (classes, width))
        for layer, out in enumerate((width, width, 4)):
            shapes |= _layer(f"bbox_embed.{prediction}.layers.{layer}", (out, width))
    return shapes


def _layer(name: str, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def _norm(name: str, dim: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (dim,), f"{name}.bias": (dim,)}


def _projection(name: str, dim: int, width: int) -> dict[str, tuple[int, ...]]:
    return _layer(f"{name}.0", (width, dim, 1, 1)) | _norm(f"{name}.1", width)


def _index(window: int) -> Tensor:
    places = [(row, column) for row in range(window) for column in range(window)]
    differences = [[(a - c + window - 1, b - d + window - 1) for c, d in places] for a, b in places]
    return torch.tensor([[down * (2 * window - 1) + right for down, right in row] for row in differences])
