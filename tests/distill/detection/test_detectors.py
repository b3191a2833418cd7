"""Every kind of detector keeps the contract of `Detector`: ours and transformers'."""

from pathlib import Path

import pytest
import torch
from small_detectors import CASES, CLASSES, HF, OURS, batch, small

from distill.detection.models import DETECTORS, Detections, build, check
from distill.errors import ModelError
from stiefel.errors import UnknownNameError

EVERY = pytest.mark.parametrize("name", CASES)
# A nano takes a second a pass here; what follows from the architecture alone is tried on the smallest.
SMALLEST = pytest.mark.parametrize("name", ["vidt_micro", HF])


@EVERY
@torch.no_grad()
def test_predictions_levels_and_tokens_have_the_announced_shapes(name: str) -> None:
    detector = small(name)
    images, padding = batch((64, 90), (50, 70), size=(64, 90))
    found = detector(images, padding)
    layers = len(found.logits)
    assert found.logits.shape == (layers, 2, detector.queries, CLASSES)
    assert found.boxes.shape == (layers, 2, detector.queries, 4)
    assert 0 <= found.boxes.min() <= found.boxes.max() <= 1
    assert found.body_tokens.shape == (2, detector.queries, detector.token_dim)
    assert found.neck_tokens.shape == (layers, 2, detector.queries, detector.token_dim)
    assert [level.shape[:2] for level in found.levels] == [(2, detector.token_dim)] * 4
    strides = [2**level * detector.stride for level in range(4)]
    assert [level.shape[2:] for level in found.levels] == [(-(-64 // each), -(-90 // each)) for each in strides]
    assert [each.shape[1:] for each in found.level_padding] == [level.shape[2:] for level in found.levels]


@EVERY
@torch.no_grad()
def test_a_place_is_padding_where_the_pixel_at_its_corner_is(name: str) -> None:
    images, padding = batch((64, 128), (33, 64), size=(64, 128))
    for level in small(name)(images, padding).level_padding:
        stride = 64 // level.shape[1]
        assert torch.equal(level, padding[:, ::stride, ::stride])


@SMALLEST
def test_gradients_reach_every_parameter(name: str) -> None:
    detector = small(name)
    found = detector(*batch((64, 64), (40, 60), size=(64, 64)))
    generator = torch.Generator().manual_seed(2)
    # A plain sum is blind to what a layer norm before it does.
    loss = sum((each * torch.randn(each.shape, generator=generator)).sum() for each in (found.logits, found.boxes))
    loss.backward()
    trained = {key: each for key, each in detector.named_parameters() if each.requires_grad}
    unreached = [key for key, each in trained.items() if each.grad is None or not each.grad.any()]
    assert unreached == []


@SMALLEST
def test_checkpointing_changes_neither_predictions_nor_gradients(name: str) -> None:
    detector = small(name).train()
    images, padding = batch((64, 64), (40, 60), size=(64, 64))

    def pass_through() -> tuple[Detections, list[torch.Tensor]]:
        detector.zero_grad()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)  # of dropout
            found = detector(images, padding)
            found.logits.square().sum().backward()
        return found, [each.grad.clone() for each in detector.parameters() if each.grad is not None]

    kept, slopes = pass_through()
    detector.checkpointing(True)
    again, same_slopes = pass_through()
    assert torch.equal(kept.logits, again.logits)
    for slope, same in zip(slopes, same_slopes, strict=True):
        # The very sums are done again; their order may differ where several gradients meet in a weight.
        assert (slope - same).abs().max() <= 64 * torch.finfo(slope.dtype).eps * slope.abs().max()


def test_checkpointing_runs_blocks_and_layers_twice() -> None:
    detector, runs = small("vidt_micro").train(), []
    for part in (detector.body.stages[0].blocks[0].attention, detector.neck.layers[0].self_attention):
        part.register_forward_pre_hook(lambda module, inputs: runs.append(module))
    detector.checkpointing(True)
    found = detector(*batch((32, 32), size=(32, 32)))
    assert len(runs) == 2
    found.logits.sum().backward()
    assert len(runs) == 4


@pytest.mark.parametrize("name", OURS)
@torch.no_grad()
def test_an_image_is_blind_to_the_other_images_of_its_batch(name: str) -> None:
    detector = small(name)
    images, padding = batch((64, 64), (40, 60), size=(64, 64))
    together, alone = detector(images, padding), detector(images[1:], padding[1:])
    # 1000 eps: a product's rows are summed in another order at another batch size, and some 30 layers stretch that.
    eps = 1000 * torch.finfo(images.dtype).eps
    assert (together.boxes[:, 1:] - alone.boxes).abs().max() <= eps
    assert (together.logits[:, 1:] - alone.logits).abs().max() <= eps * alone.logits.abs().max()


@torch.no_grad()
def test_det_tokens_that_are_computed_once_are_those_of_every_image() -> None:
    detector = small("vidt_micro").train()
    images, padding = batch((64, 64), (40, 60), size=(64, 64))
    once = detector(images, padding)
    detector.body.drop_path = 0.5  # of blocks, whose own stays 0: now every image has its own tokens
    each = detector(images, padding)
    eps = 1000 * torch.finfo(images.dtype).eps  # as above
    assert (once.body_tokens - each.body_tokens).abs().max() <= eps * each.body_tokens.abs().max()
    assert (once.logits - each.logits).abs().max() <= eps * each.logits.abs().max()


@torch.no_grad()
def test_boxes_are_as_fine_under_autocast_as_without() -> None:
    detector = small("vidt_micro")
    with torch.autocast("cpu", torch.bfloat16):
        found = detector(*batch((64, 64), (40, 60), size=(64, 64)))
    moved = detector.neck.box_heads[-1](found.neck_tokens[-1].float()) + found.boxes[-2].float().logit(1e-5)
    # Of values up to 1, a logit's rounding of up to 8 on its way: bfloat16's own is 2^16 eps.
    assert (found.boxes[-1] - moved.sigmoid()).abs().max() <= 8 * torch.finfo(torch.float32).eps


def test_shapes_can_be_had_without_memory() -> None:
    with torch.device("meta"):
        found = build("vidt_micro", CLASSES)(torch.empty(2, 3, 64, 90), torch.empty(2, 64, 90, dtype=torch.bool))
    assert found.boxes.shape == (3, 2, 20, 4)
    assert found.boxes.device.type == "meta"


def test_an_unknown_detector_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown detector 'vidt_mikro'.*vidt_nano.*vidt_micro.*hf:"):
        build("vidt_mikro", 3)
    for name in DETECTORS:
        check(name)


def test_weights_of_a_detector_of_ours_are_a_path() -> None:
    with pytest.raises(ModelError, match="import-weights"):
        build("vidt_nano", 3, weights="pretrained")
    with pytest.raises(ModelError, match=r"no weights can be read from it.*check the path"):
        build("vidt_micro", 3, weights="no/such/file.pth")


@torch.no_grad()
def test_transformers_prediction_is_the_last_layers() -> None:
    detector = small(HF)
    images, padding = batch((64, 64), (40, 60), size=(64, 64))
    found, theirs = detector(images, padding), detector.model(images, (~padding).long())
    eps = 16 * torch.finfo(images.dtype).eps  # its boxes' logits are taken by two logarithms
    assert torch.equal(found.logits[-1], theirs.logits)
    assert (found.boxes[-1] - theirs.pred_boxes).abs().max() <= eps
    assert torch.equal(found.neck_tokens[-1], theirs.last_hidden_state)


def test_a_detector_of_another_family_or_of_two_stages_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    with pytest.raises(ModelError, match=r"expected a Deformable DETR of one stage, got one of family 'vit'; take hf:"):
        build(f"hf:{tmp_path}", 3)
    (tmp_path / "config.json").write_text(
        '{"model_type": "deformable_detr", "two_stage": true, "with_box_refine": true}'
    )
    with pytest.raises(ModelError, match="got one of two stages"):
        build(f"hf:{tmp_path}", 3)
