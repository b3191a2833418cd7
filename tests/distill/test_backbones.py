"""Every kind of model keeps the contract of `Backbone`: ours, timm's, transformers'."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import small_models
import torch
from small_models import CASES, CHANNELS, CLASSES, HF, OURS, SIZE, TIMM
from torch import Tensor, nn

from distill import extras, models
from distill.errors import ModelError
from distill.models import MODELS, Normalisation

EVERY = pytest.mark.parametrize("name", CASES)
EPS = torch.finfo(torch.float32).eps


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.fixture
def pixels() -> Tensor:
    return torch.randn(2, CHANNELS, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


def test_every_model_of_ours_is_a_case() -> None:
    assert set(OURS) == set(MODELS)


@EVERY
def test_logits_map_and_feature_have_the_announced_widths(name: str, pixels: Tensor) -> None:
    model = small_models.build(name)
    output = model(pixels)
    assert output.logits.shape == (2, CLASSES)
    assert model.classes == CLASSES
    assert output.map.shape[:2] == (2, model.feature_dim)
    assert (model.image_size, model.channels) == (SIZE, CHANNELS)
    two_heads = "deit" in name and name != "hf:deit"
    assert (output.distillation_logits is not None) == two_heads


@EVERY
def test_the_map_is_the_last_layers_output_by_place(name: str, pixels: Tensor) -> None:
    model, seen = small_models.build(name), []
    last = model.native.get_submodule(CASES[name].last)
    last.register_forward_hook(lambda module, inputs, output: seen.append(output))
    found = model(pixels).map
    output = seen[0] if isinstance(seen[0], Tensor) else seen[0][0]
    batch, dim, height, width = found.shape
    if output.shape[-1] == dim:  # (batch, [special +] places, dim) or (batch, height, width, dim)
        output = output.reshape(batch, -1, dim)[:, -height * width :].transpose(1, 2).reshape(found.shape)
    assert torch.equal(found, output)


@EVERY
def test_a_head_classifies_pooled_features_or_says_that_it_reads_something_else(name: str, pixels: Tensor) -> None:
    model = small_models.build(name)
    output = model(pixels)
    if CASES[name].head_pools:
        error = (model.classify(output.feature) - output.logits).abs().max()
        assert error <= model.feature_dim * EPS * output.logits.abs().max()
    else:
        with pytest.raises(ModelError, match="its head doesn't read pooled features"):
            model.classify(output.feature)


@EVERY
def test_what_has_no_places_is_no_map(name: str) -> None:
    with pytest.raises(ModelError, match=r"got shape \(2, 5\)"):
        small_models.build(name).as_map(torch.zeros(2, 5))


@EVERY
def test_a_saved_model_loads_bit_for_bit(name: str, pixels: Tensor, tmp_path: Path) -> None:
    model = small_models.build(name)
    model.normalisation = Normalisation((0.5, 0.25, 0.125), (1.0, 2.0, 0.5))
    model.save(tmp_path)
    loaded = models.from_pretrained(tmp_path).eval()
    assert torch.equal(loaded(pixels).logits, model(pixels).logits)
    assert torch.equal(loaded(pixels).map, model(pixels).map)
    assert loaded.normalisation == model.normalisation
    assert (loaded.image_size, loaded.channels, loaded.classes) == (SIZE, CHANNELS, CLASSES)


@pytest.mark.parametrize("name", TIMM)
def test_timm_itself_loads_what_we_save(name: str, pixels: Tensor, tmp_path: Path) -> None:
    model = small_models.build(name)
    model.save(tmp_path)
    theirs = extras.load("timm", needed_by="a test").create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    assert torch.equal(theirs(pixels), model.native(pixels))


@pytest.mark.parametrize("name", HF)
def test_transformers_itself_loads_what_we_save(name: str, pixels: Tensor, tmp_path: Path) -> None:
    model = small_models.build(name)
    model.save(tmp_path)
    transformers = extras.load("transformers", needed_by="a test")
    theirs = transformers.AutoModelForImageClassification.from_pretrained(tmp_path).eval()
    assert torch.equal(theirs(pixels).logits, model.native(pixels).logits)


@EVERY
def test_checkpointing_computes_a_block_twice_and_changes_no_gradient(name: str, pixels: Tensor) -> None:
    model, calls = small_models.build(name).train(), []
    if not CASES[name].block:
        with pytest.raises(ModelError, match="it has no gradient checkpointing"):
            model.checkpointing(True)
        return
    for module in model.modules():
        if isinstance(module, nn.Dropout) or type(module).__name__.endswith("DropPath"):
            module.eval()
    model.native.get_submodule(CASES[name].block).register_forward_pre_hook(lambda *call: calls.append(call))
    gradients = []
    for on in (False, True):
        calls.clear()
        model.zero_grad()
        model.checkpointing(on)
        output = model(pixels)
        (output.logits.square().mean() + output.feature.square().mean()).backward()
        assert len(calls) > 1 if on else len(calls) == 1
        gradients.append([parameter.grad for parameter in model.parameters() if parameter.grad is not None])
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))
