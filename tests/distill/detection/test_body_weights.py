"""A Swin that was trained to classify is read into the body of a ViDT, key by key."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from distill.detection.models import build
from distill.detection.models.attention import relative_places
from distill.errors import ModelError

# Our names of a body's modules, and those of Swin's public code.
NAMES = {
    "body.embed": "patch_embed.proj",
    "body.norm": "patch_embed.norm",
    "body.stages": "layers",
    ".norm_1": ".norm1",
    ".norm_2": ".norm2",
    ".attention.query_key_value": ".attn.qkv",
    ".attention.output": ".attn.proj",
    ".attention.bias": ".attn.relative_position_bias_table",
    ".mlp.0": ".mlp.fc1",
    ".mlp.2": ".mlp.fc2",
    ".merge.norm": ".downsample.norm",
    ".merge.reduce": ".downsample.reduction",
}


def swin(seed: int = 0) -> dict[str, Tensor]:
    """Return random weights of the Swin that vidt_micro's body is made of, as its public code names them."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for key, value in build("vidt_micro", 10).state_dict().items():
        if key.startswith("body.") and "det_" not in key and not key.startswith("body.stages.3.merge"):
            for ours, theirs in NAMES.items():
                key = key.replace(ours, theirs)
            state[key] = torch.randn(value.shape, generator=generator)
    window = round((next(len(v) for k, v in state.items() if k.endswith("bias_table")) ** 0.5 + 1) / 2)
    state["layers.0.blocks.0.attn.relative_position_index"] = relative_places(window)
    state |= {"head.weight": torch.zeros(1000, 128), "norm.weight": torch.zeros(128)}
    state["layers.0.blocks.0.attn_mask"] = torch.zeros(4, 16, 16)
    return state


def test_the_body_is_the_swins_and_all_else_is_as_it_was(tmp_path: Path) -> None:
    torch.save({"model": swin()}, tmp_path / "swin.pth")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        before = build("vidt_micro", 10).state_dict()
        torch.manual_seed(0)
        after = build("vidt_micro", 10, weights=str(tmp_path / "swin.pth")).state_dict()
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    theirs = {
        key for key in swin() if not key.startswith(("head", "norm")) and "index" not in key and "mask" not in key
    }
    assert len(changed) == len(theirs)
    assert torch.equal(after["body.embed.weight"], swin()["patch_embed.proj.weight"])
    assert torch.equal(after["body.stages.2.blocks.1.mlp.0.weight"], swin()["layers.2.blocks.1.mlp.fc1.weight"])


@pytest.mark.parametrize("what", ["missing", "unexpected", "of another shape"])
def test_what_doesnt_fit_is_named(what: str, tmp_path: Path) -> None:
    state = swin()
    if what == "missing":
        del state["layers.1.blocks.0.norm1.weight"]
    elif what == "unexpected":
        state["layers.1.blocks.9.norm1.weight"] = torch.zeros(3)
    else:
        state["layers.1.blocks.0.norm1.weight"] = torch.zeros(3)
    torch.save(state, tmp_path / "swin.pth")
    with pytest.raises(ModelError, match=f"{what}: .*norm_1"):
        build("vidt_micro", 10, weights=str(tmp_path / "swin.pth"))
