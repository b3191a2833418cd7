"""The weights that ViDT's authors published, read into ours key by key."""

import re
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor
from torch.serialization import safe_globals

from distill.detection.models.attention import relative_places
from distill.detection.models.config import PRESETS
from distill.detection.models.vidt import Vidt
from distill.models.weights import load_weights, read_weights, refuse_misfits

# Public names, in order, and ours. `\d+` in a rule is kept where `#` stands.
_RULES = [
    ("backbone.patch_embed.proj", "body.embed"),
    ("backbone.patch_embed.norm", "body.norm"),
    ("backbone.det_token", "body.det_tokens"),
    ("backbone.det_pos_embed", "body.det_positions"),
    ("backbone.layers.#.blocks.#.norm1", "body.stages.#.blocks.#.norm_1"),
    ("backbone.layers.#.blocks.#.norm2", "body.stages.#.blocks.#.norm_2"),
    ("backbone.layers.#.blocks.#.attn.relative_position_bias_table", "body.stages.#.blocks.#.attention.bias"),
    ("backbone.layers.#.blocks.#.attn.qkv", "body.stages.#.blocks.#.attention.query_key_value"),
    ("backbone.layers.#.blocks.#.attn.proj", "body.stages.#.blocks.#.attention.output"),
    ("backbone.layers.#.blocks.#.det_pos_linear", "body.stages.#.blocks.#.det_position"),
    ("backbone.layers.#.blocks.#.mlp.fc1", "body.stages.#.blocks.#.mlp.0"),
    ("backbone.layers.#.blocks.#.mlp.fc2", "body.stages.#.blocks.#.mlp.2"),
    ("backbone.layers.#.downsample.norm", "body.stages.#.merge.norm"),
    ("backbone.layers.#.downsample.reduction", "body.stages.#.merge.reduce"),
    ("input_proj.#.#", "level_projections.#.#"),
    ("tgt_proj.#", "det_projection.#"),
    ("query_pos_proj.#", "position_projection.#"),
    ("transformer.reference_points", "neck.reference"),
    ("transformer.decoder.layers.#.self_attn", "neck.layers.#.self_attention"),
    ("transformer.decoder.layers.#.cross_attn.sampling_offsets", "neck.layers.#.cross_attention.offsets"),
    ("transformer.decoder.layers.#.cross_attn.attention_weights", "neck.layers.#.cross_attention.weights"),
    ("transformer.decoder.layers.#.cross_attn.value_proj", "neck.layers.#.cross_attention.value"),
    ("transformer.decoder.layers.#.cross_attn.output_proj", "neck.layers.#.cross_attention.output"),
    ("transformer.decoder.layers.#.norm2", "neck.layers.#.norms.0"),
    ("transformer.decoder.layers.#.norm1", "neck.layers.#.norms.1"),
    ("transformer.decoder.layers.#.norm3", "neck.layers.#.norms.2"),
    ("transformer.decoder.layers.#.linear1", "neck.layers.#.mlp.0"),
    ("transformer.decoder.layers.#.linear2", "neck.layers.#.mlp.3"),
    ("class_embed.#", "neck.class_heads.#"),
    ("bbox_embed.#.layers.0", "neck.box_heads.#.0"),
    ("bbox_embed.#.layers.1", "neck.box_heads.#.2"),
    ("bbox_embed.#.layers.2", "neck.box_heads.#.4"),
]
# In the checkpoints, and never read by a forward pass of the public code.
_UNUSED = [
    "backbone.norm#",
    "backbone.layers.#.downsample.norm2",
    "backbone.layers.#.downsample.expansion",
    "transformer.level_embed",
]
# The same tensors a second time, as its decoder holds the box heads too.
_TWICE = "transformer.decoder.bbox_embed."
_INDEX = "relative_position_index"
_BATCHED = ("backbone.det_token", "backbone.det_pos_embed")  # (1, queries, dim) there


def _compiled(rule: str) -> re.Pattern[str]:
    return re.compile(re.escape(rule).replace(r"\#", r"(\d+)") + r"(?=\.|$)")


_PATTERNS = [(_compiled(theirs), ours) for theirs, ours in _RULES]
_IGNORED = [_compiled(rule) for rule in _UNUSED]


def import_weights(path: Path | str) -> tuple[str, Vidt]:
    """Return (name, detector) of a file such as vidt_nano_50.pth, recognised by its shapes; no code is executed.

    Its classes are the file's: 91 of the published ones, where class i is COCO's category id i. Of these, 0, 12, 26,
    29, 30, 45, 66, 68, 69, 71 and 83 were never trained.

    Raises: ModelError naming what is missing, what is too much and whose shape differs.
    """
    source = str(path)
    with safe_globals([Namespace]):  # the command line that trained it lies beside the weights
        state = renamed(read_weights(Path(path)), source)
    heads = state.get("neck.class_heads.0.bias")
    classes = 91 if heads is None else len(heads)
    name = min(PRESETS, key=lambda preset: _misfits(preset, classes, state))
    detector = Vidt(PRESETS[name], classes)
    load_weights(name, detector, state, source)
    return name, detector


def renamed(state: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """Return a public state dict under our names.

    Raises: ModelError naming keys that no rule knows, and buffers or second copies that aren't what they must be.
    """
    found: dict[str, Tensor] = {}
    wrong: dict[str, list[str]] = {"unexpected": [], "different from what the public code has there": []}
    for key, value in state.items():
        if key.endswith(_INDEX):
            is_fine = torch.equal(value, relative_places(round(len(value) ** 0.5)))
        elif key.startswith(_TWICE):
            first = state.get("bbox_embed." + key.removeprefix(_TWICE))
            is_fine = first is not None and torch.equal(first, value)
        elif any(pattern.match(key) for pattern in _IGNORED):
            is_fine = True
        else:
            ours, is_fine = _our_name(key), True
            if ours is None:
                wrong["unexpected"].append(key)
            else:
                found[ours] = value[0] if key in _BATCHED else value
        if not is_fine:
            wrong["different from what the public code has there"].append(key)
    refuse_misfits("vidt", source, wrong)
    return found


def _our_name(key: str) -> str | None:
    for pattern, ours in _PATTERNS:
        if match := pattern.match(key):
            for number in match.groups():
                ours = ours.replace("#", number, 1)
            return ours + key[match.end() :]
    return None


def _misfits(preset: str, classes: int, state: Mapping[str, Tensor]) -> int:
    with torch.device("meta"):
        shapes = {key: value.shape for key, value in Vidt(PRESETS[preset], classes).state_dict().items()}
    return sum(key not in state or state[key].shape != shape for key, shape in shapes.items()) + sum(
        key not in shapes for key in state
    )
