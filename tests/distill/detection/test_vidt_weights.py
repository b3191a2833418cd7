"""The published weights are read key by key; what is missing, too much or of another shape is named."""

import random
from collections.abc import Callable
from pathlib import Path

import public_vidt
import pytest
import torch
from torch import Tensor

from distill.budget import flops
from distill.cli import main
from distill.detection.models import build, from_pretrained, save
from distill.detection.models.config import PRESETS
from distill.detection.models.vidt_weights import import_weights
from distill.errors import ModelError

MICRO = PRESETS["vidt_micro"]
# What each of the four published models' code counts, commit 5207d04, at 91 classes.
PUBLIC_COUNTS = {"vidt_nano": 15728677, "vidt_tiny": 37962901, "vidt_small": 60465061, "vidt_base": 99959635}


@pytest.mark.parametrize("name", PUBLIC_COUNTS)
def test_parameters_are_the_public_ones_less_those_that_no_forward_pass_reads(name: str) -> None:
    config = PRESETS[name]
    widths, afters = config.stage_widths, config.level_widths
    unused = 4 * config.width + sum(2 * width for width in widths[1:])  # embeddings of levels, norms of stages
    unused += sum(2 * width + width * after for width, after in zip(widths, afters, strict=True))  # of [DET] tokens
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in build(name, 91).parameters())
    assert count + unused == PUBLIC_COUNTS[name]


@pytest.mark.parametrize("name", ["vidt_micro", "vidt_nano"])
def test_a_public_checkpoint_is_recognised_by_its_shapes_and_fills_every_weight(name: str, tmp_path: Path) -> None:
    content = public_vidt.checkpoint(PRESETS[name], 91)
    torch.save(content, tmp_path / "vidt.pth")
    found, detector = import_weights(tmp_path / "vidt.pth")
    assert (found, detector.classes) == (name, 91)
    theirs = {(tuple(each.shape), each.flatten()[0].item()) for each in read(content).values()}
    for key, each in detector.state_dict().items():
        shape = (1, *each.shape) if key in ("body.det_tokens", "body.det_positions") else tuple(each.shape)
        assert (shape, each.flatten()[0].item()) in theirs, key


def read(content: dict[str, object]) -> dict[str, Tensor]:
    model = content["model"]
    assert isinstance(model, dict)
    return model


def drop(state: dict[str, Tensor]) -> None:
    del state["backbone.layers.2.blocks.1.attn.qkv.weight"]


def add(state: dict[str, Tensor]) -> None:
    state["iou_embed.0.layers.0.weight"] = torch.zeros(2)


def reshape(state: dict[str, Tensor]) -> None:
    state["class_embed.1.weight"] = torch.zeros(7, 64)


def reorder(state: dict[str, Tensor]) -> None:
    key = "backbone.layers.0.blocks.0.attn.relative_position_index"
    state[key] = state[key].flip(0)


def untie(state: dict[str, Tensor]) -> None:
    key = "transformer.decoder.bbox_embed.0.layers.0.weight"
    state[key] = state[key] + 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (drop, r"missing: body\.stages\.2\.blocks\.1\.attention\.query_key_value\.weight\)"),
        (add, r"unexpected: iou_embed\.0\.layers\.0\.weight\)"),
        (reshape, r"of another shape: neck\.class_heads\.1\.weight\)"),
        (reorder, r"different from .*: backbone\.layers\.0\.blocks\.0\.attn\.relative_position_index\)"),
        (untie, r"different from .*: transformer\.decoder\.bbox_embed\.0\.layers\.0\.weight\)"),
    ],
)
def test_what_does_not_fit_is_named(change: Callable[[dict[str, Tensor]], None], said: str, tmp_path: Path) -> None:
    content = public_vidt.checkpoint(MICRO, 3)
    change(read(content))
    torch.save(content, tmp_path / "vidt.pth")
    with pytest.raises(ModelError, match=said):
        import_weights(tmp_path / "vidt.pth")


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    torch.save({"model": {"weight": torch.zeros(1)}, "args": random.Random(0)}, tmp_path / "vidt.pth")
    with pytest.raises(ModelError, match="no weights can be read from it"):
        import_weights(tmp_path / "vidt.pth")


def test_a_saved_detector_comes_back_by_its_folder(tmp_path: Path) -> None:
    detector = build("vidt_micro", 3)
    save("vidt_micro", detector, tmp_path)
    for again in (from_pretrained(tmp_path), build("vidt_micro", 3, weights=str(tmp_path))):
        for key, each in detector.state_dict().items():
            assert torch.equal(again.state_dict()[key], each)
    with pytest.raises(ModelError, match=r"of another shape: neck\.class_heads\.0\.weight"):
        build("vidt_micro", 4, weights=str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"describes no detector of ours"):
        from_pretrained(tmp_path)


def test_import_weights_writes_a_folder_that_loads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(public_vidt.checkpoint(MICRO, 3), tmp_path / "vidt.pth")
    assert main(["import-weights", "vidt", str(tmp_path / "vidt.pth"), "--out", str(tmp_path / "ours")]) == 0
    assert capsys.readouterr().out == f"vidt_micro, 3 classes: {tmp_path / 'ours'}\n"
    _, expected = import_weights(tmp_path / "vidt.pth")
    for key, each in from_pretrained(tmp_path / "ours").state_dict().items():
        assert torch.equal(each, expected.state_dict()[key])


def test_import_weights_of_something_else_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"model": {"fc.weight": torch.zeros(2, 2)}}, tmp_path / "other.pth")
    assert main(["import-weights", "vidt", str(tmp_path / "other.pth"), "--out", str(tmp_path / "ours")]) == 2
    assert capsys.readouterr().err.startswith("distill: can't use model 'vidt': the weights of ")
    assert not (tmp_path / "ours").exists()


def test_a_pass_of_nano_costs_what_its_products_cost_by_hand() -> None:
    """At 224 px windows tile every stage: 56, 28, 14 and 7 patches a side; the levels are 28, 14, 7 and 4."""
    with torch.device("meta"):
        detector = build("vidt_nano", 91).eval()
        images, padding = torch.empty(1, 3, 224, 224), torch.empty(1, 224, 224, dtype=torch.bool)
    with flops.counter() as counted, torch.no_grad():
        detector(images, padding)
    q, width, sides = 100, 256, (56, 28, 14, 7, 4)
    body = 56**2 * 48 * 48  # embedding; all in multiply-adds
    for stage, (depth, c) in enumerate(zip((2, 2, 6, 2), (48, 96, 192, 384), strict=True)):
        n, seen = sides[stage] ** 2, q
        block = (n + q) * 12 * c**2 + q * width * c + 2 * n * 49 * c  # projections, MLP; positions; windows
        if stage == 3:
            block, seen = block + n * 2 * c**2, q + n  # patches' keys and values once more, for [DET] tokens
        body += depth * (block + 2 * q * seen * c)
        merged, after = sides[stage + 1] ** 2, 2 * c if stage < 3 else width
        body += (merged + (q if stage < 3 else 0)) * 4 * c * after
    places = sum(side**2 for side in sides[1:])
    levels = sum(side**2 * c * width for side, c in zip(sides[1:], (96, 192, 384, 256), strict=True))
    layer = 4 * q * width**2 + 2 * q**2 * width + 2 * q * width * 1024  # self-attention, MLP
    layer += places * width**2 + q * width * (width + 256 + 128)  # values; output, offsets, weights
    heads = q * width * (91 + 2 * width + 4)
    total = body + levels + q * width * (384 + width) + q * width * 2 + 6 * layer + 7 * heads
    assert counted.get_total_flops() == 2 * total
