"""Intermediate features: named, as maps, and gone when the context ends."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import small_models
import torch
from small_models import CASES, CHANNELS, SIZE
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from distill.errors import ModelError
from distill.features import intermediate, layer_names
from distill.models import Normalisation
from distill.models.pixels import renormalise
from stiefel.errors import UnknownNameError

ROOT = Path(__file__).parents[2]
EVERY = pytest.mark.parametrize("name", CASES)


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture
def pixels() -> Tensor:
    return torch.randn(2, CHANNELS, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


def hooks(model: nn.Module) -> int:
    return sum(len(module._forward_hooks) for module in model.modules())


@EVERY
def test_the_last_layers_features_are_the_map(name: str, pixels: Tensor) -> None:
    model, last = small_models.build(name), CASES[name].last
    before = hooks(model)
    with intermediate(model, [last]) as maps:
        output = model(pixels)
    assert torch.equal(maps[last], output.map)
    assert hooks(model) == before


@EVERY
def test_layer_names_are_those_of_the_library(name: str) -> None:
    model = small_models.build(name)
    assert CASES[name].last in layer_names(model)
    assert "" not in layer_names(model)


def test_several_layers_come_as_maps_that_gradients_flow_through(pixels: Tensor) -> None:
    model = small_models.build("timm:swin_tiny_patch4_window7_224")  # its layers put channels last
    names = ["layers.0", "layers.1", "layers.3"]
    with intermediate(model, names) as maps:
        model(pixels)
    assert [tuple(maps[name].shape[1:]) for name in names] == [(96, 8, 8), (192, 4, 4), (768, 1, 1)]
    maps["layers.1"].square().sum().backward()
    assert next(model.parameters()).grad is not None


def test_patch_tokens_before_the_special_ones_are_added_all_stay(pixels: Tensor) -> None:
    model = small_models.build("timm:deit_tiny_distilled_patch16_224")
    with intermediate(model, ["patch_embed", "blocks.0"]) as maps:
        model(pixels)
    assert maps["patch_embed"].shape == maps["blocks.0"].shape == (2, 192, 2, 2)


def test_a_layer_with_channels_last_in_a_model_with_channels_first_is_recognised(pixels: Tensor) -> None:
    model = small_models.build("timm:test_vit")
    with intermediate(model, ["patch_embed", "blocks.0"]) as maps:
        model(pixels)
    assert maps["patch_embed"].shape == maps["blocks.0"].shape == (2, 64, 2, 2)


def test_an_unknown_name_lists_near_ones(pixels: Tensor) -> None:
    model = small_models.build("deit")
    said = r"unknown layer 'block\.0'; choose one of blocks\.0"
    with pytest.raises(UnknownNameError, match=said), intermediate(model, ["norm", "block.0"]):
        pass
    said = "choose one of embed, blocks, norm, head"
    with pytest.raises(UnknownNameError, match=said), intermediate(model, ["?"]):
        pass
    assert hooks(model) == 0


def test_an_exception_leaves_no_hook(pixels: Tensor) -> None:
    model = small_models.build("deit")
    with pytest.raises(ZeroDivisionError), intermediate(model, ["norm"]):
        raise ZeroDivisionError
    assert hooks(model) == 0


def test_what_has_no_places_is_refused_by_name(pixels: Tensor) -> None:
    model = small_models.build("deit")
    with pytest.raises(ModelError, match="expected features by place"), intermediate(model, ["head"]):
        model(pixels)
    assert hooks(model) == 0


def test_a_model_without_a_backbone_is_refused() -> None:
    with pytest.raises(ModelError, match="there is no Backbone in it"):
        layer_names(nn.Linear(2, 2))


def test_a_layer_that_did_not_run_is_named() -> None:
    with (
        pytest.raises(ModelError, match="its layers norm didn't run"),
        intermediate(small_models.build("deit"), ["norm"]),
    ):
        pass


@pytest.fixture
def one_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    store = tmp_path_factory.mktemp("store") / "file"
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("one_process")
def test_they_are_seen_inside_ddp(pixels: Tensor) -> None:
    wrapped = DistributedDataParallel(small_models.build("deit"))
    with intermediate(wrapped, ["norm"]) as maps:
        output = wrapped(pixels)
    assert torch.equal(maps["norm"], output.map)


def test_they_are_seen_inside_torch_compile_or_refused() -> None:
    command = [sys.executable, "tests/support/compiled_features.py"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    printed = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT, env=environment).stdout
    # Opened inside what is compiled, around it, and around it after its first call.
    assert json.loads(printed) == {"default": [0.0, 0.0, "refused"], "guarded": [0.0, 0.0, 0.0]}


def test_pixels_converted_on_the_way_change_no_name(pixels: Tensor) -> None:
    model = small_models.build("deit")
    model.normalisation = Normalisation((0.5,) * 3, (0.5,) * 3)
    names = layer_names(model)
    renormalise(model, Normalisation((0.1,) * 3, (0.2,) * 3))
    assert layer_names(model) == [*names, "conversion"]
    with intermediate(model, ["norm"]) as maps:
        output = model(pixels)
    assert torch.equal(maps["norm"], output.map)
