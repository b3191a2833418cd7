"""Models by name: sizes, weights, pixels, and one sentence for whatever doesn't fit."""

import re
import sys
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path

import pytest
import small_models
import torch
from safetensors.torch import save_file
from small_models import CHANNELS, CLASSES, SIZE
from small_runs import run_small, small

from distill import models
from distill.checkpoint import paths
from distill.errors import DistillError, ModelError, RecipeError
from distill.models import MODELS, PRETRAINED, Backbone, Normalisation
from distill.run_folder import read_summary
from stiefel.errors import MissingExtraError


def build(name: str, weights: str = "", *, shape: Mapping[str, int] | None = None, keep_head: bool = False) -> Backbone:
    return models.build(
        name, classes=5, image_size=SIZE, channels=CHANNELS, weights=weights, shape=shape, keep_head=keep_head
    )


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.mark.parametrize(
    ("name", "count", "plain"), [("deit_ti", 6_633_104, 5_717_416), ("deit_s", 23_797_520, 22_050_664)]
)
def test_the_papers_students_have_their_parameters(name: str, count: int, plain: int) -> None:
    # `count` is that of VkD's released classes, `plain` that of DeiT's (5.7 and 22 M), which have another way to embed
    # patches, one head and one position less.
    model = models.build(name, classes=1000, image_size=224, channels=3)
    assert sum(parameter.numel() for parameter in model.parameters()) == count
    width = model.feature_dim
    stem = sum(parameter.numel() for parameter in model.get_submodule("embed").parameters())
    assert count - stem - (1000 * width + 1000) - width + (3 * 16 * 16 * width + width) == plain


@pytest.mark.parametrize("name", MODELS)
def test_a_shape_key_that_a_model_does_not_take_is_refused(name: str) -> None:
    for key in sorted({"width", "depth", "heads", "patch"} - set(MODELS[name].keys)):
        with pytest.raises(RecipeError, match=rf"student\.{key}.*expected 0, as '{name}'.*got 4"):
            models.check("student", name, {key: 4})


def test_a_shape_is_never_ignored() -> None:
    with pytest.raises(RecipeError, match=r"model\.width.*expected 0, as 'timm:resnet18' has a shape of its own"):
        build("timm:resnet18", shape={"width": 8})


def test_a_recipe_refuses_the_shape_of_a_librarys_model_and_a_name_it_does_not_know() -> None:
    with pytest.raises(RecipeError, match=r"student\.width.*expected 0, as 'timm:resnet18' has a shape of its own"):
        small("--student.name", "timm:resnet18")
    with pytest.raises(ModelError, match=r"'deit_tii'.*no such model; name deit_ti"):
        small("--student.name", "deit_tii")


def test_a_recipe_need_not_set_the_shape() -> None:
    assert build("deit", shape={"width": 8}).feature_dim == 8
    assert build("deit").feature_dim == MODELS["deit"].keys["width"]


@pytest.mark.parametrize(
    ("name", "weights", "said"),
    [
        ("timm:resnet19", "", "timm has no such model; near it are resnet18"),
        ("timm:resnet18.nothing", "", "near it are resnet18.a1_in1k"),
        ("timm:resnet18", PRETRAINED, "its pretrained files can't be had"),
        ("hf:nobody/nothing", "", "its pretrained files can't be had"),
        ("deit_ti", PRETRAINED, "it has no published weights"),
        ("convnet", "no/such/file.pth", "no weights can be read from it"),
        ("no/such/folder", "", "there is no such model"),
        ("tests", "", "its config.json can't be read"),
        ("hf:tests", "", "Unrecognized model"),
        ("timm:test_vit", "tests", "no weights can be read from it"),
    ],
)
def test_a_model_that_cannot_be_had_gives_one_sentence(name: str, weights: str, said: str) -> None:
    with pytest.raises(ModelError) as caught:
        build(name, weights)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["timm:vgg11_bn", "timm:test_vit", "timm:levit_128s"])
def test_an_image_size_that_a_model_refuses_gives_one_sentence(name: str) -> None:
    with pytest.raises(ModelError, match=r"give another image size") as caught:
        models.build(name, classes=5, image_size=9, channels=3)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "extra"), [("timm:resnet18", "vision"), ("hf:nobody/nothing", "hf")])
def test_a_missing_library_names_its_extra(name: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm" if extra == "vision" else "transformers", None)
    with pytest.raises(MissingExtraError, match=re.escape(f"stiefel-distill[{extra}]")):
        build(name)


@pytest.mark.parametrize("name", ["convnet", "timm:test_resnet", "hf:regnet"])
@pytest.mark.parametrize("kind", ["file.safetensors", "file.pth", "wrapped.pth", "folder"])
def test_weights_come_from_a_local_file_or_folder(name: str, kind: str, tmp_path: Path) -> None:
    model, path = small_models.build(name), tmp_path / kind
    state = model.native.state_dict()
    if kind == "folder":
        model.save(path)
    elif kind.endswith(".safetensors"):
        save_file(state, path)
    else:
        torch.save({"model": state} if kind.startswith("wrapped") else state, path)
    loaded = small_models.build(name, str(path)).native.state_dict()
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[key], state[key]) for key in state)


def test_weights_that_do_not_fit_are_named(tmp_path: Path) -> None:
    state = build("deit").state_dict()
    state["stray"] = state.pop("norm.bias")
    state["head.bias"] = torch.zeros(9)
    save_file(state, tmp_path / "w.safetensors")
    said = "missing: norm.bias; unexpected: stray; of another shape: head.bias"
    with pytest.raises(ModelError, match=said):
        build("deit", str(tmp_path / "w.safetensors"))


@pytest.mark.parametrize("content", [b"", b"not a state dict", b"\x80\x02}q\x00."])
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_a_file_that_holds_no_weights_gives_one_sentence(content: bytes, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"file.{suffix}"
    path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        build("convnet", str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["timm:test_resnet", "hf:regnet"])
def test_pretrained_weights_get_a_new_head_unless_theirs_is_kept(name: str, tmp_path: Path) -> None:
    small_models.build(name).save(tmp_path)
    assert build(str(tmp_path), PRETRAINED).classes == 5
    assert build(str(tmp_path), PRETRAINED, keep_head=True).classes == CLASSES


@pytest.mark.parametrize("name", ["deit", "timm:test_resnet", "hf:regnet"])
def test_weights_see_the_pixels_that_they_expect(name: str, tmp_path: Path) -> None:
    model = small_models.build(name)
    model.normalisation = Normalisation((0.5, 0.4, 0.3), (0.2, 0.25, 0.5))
    model.save(tmp_path)
    given = Normalisation((0.1, 0.2, 0.3), (0.5, 0.5, 0.5))
    built = models.build(
        str(tmp_path), classes=CLASSES, image_size=SIZE, channels=CHANNELS, weights=PRETRAINED, pixels=given
    ).eval()
    raw = torch.rand(2, CHANNELS, SIZE, SIZE, generator=torch.Generator().manual_seed(0))

    def normalised(by: Normalisation) -> torch.Tensor:
        return (raw - torch.tensor(by.mean).view(3, 1, 1)) / torch.tensor(by.std).view(3, 1, 1)

    expected = model(normalised(model.normalisation)).logits
    # Pixels up to 5 are rounded twice and pass some ten layers; the wrong ones are off by a hundred times that or more.
    bound = 64 * torch.finfo(torch.float32).eps * max(1.0, float(expected.detach().abs().max()))
    assert (built(normalised(given)).logits - expected).abs().max() <= bound
    assert (model(normalised(given)).logits - expected).abs().max() > 100 * bound
    assert built.state_dict().keys() == model.state_dict().keys()
    assert torch.equal(deepcopy(built)(normalised(given)).logits, built(normalised(given)).logits)
    built.save(tmp_path / "again")
    assert models.from_pretrained(tmp_path / "again").normalisation == model.normalisation


def test_weights_that_expect_nothing_in_particular_take_the_data_as_they_are() -> None:
    given = Normalisation((0.5,) * 3, (0.2,) * 3)
    model = models.build("deit", classes=5, image_size=SIZE, channels=CHANNELS, pixels=given)
    pixels = torch.randn(2, CHANNELS, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    assert torch.equal(model(pixels).logits, model.forward(pixels).logits)
    assert model.normalisation == given


def test_a_teacher_with_weights_is_not_trained(tmp_path: Path) -> None:
    models.build("convnet", classes=10, image_size=8, channels=1, shape={"width": 4}).save(tmp_path / "given")
    run_small(tmp_path / "runs" / "run", "--teacher.weights", str(tmp_path / "given"))
    teacher = tmp_path / "runs" / "teacher"
    assert paths(teacher) == []
    assert set(read_summary(teacher)) == {"steps", "metric", "accuracy", "test_loss"}


def test_a_teacher_of_other_classes_gives_features_and_no_soft_labels(tmp_path: Path) -> None:
    timm = models.build("timm:test_resnet", classes=3, image_size=32, channels=1)
    timm.save(tmp_path / "given")
    flags = ["--teacher.name", str(tmp_path / "given"), "--teacher.weights", "pretrained", "--teacher.width", "0"]
    assert "accuracy" in run_small(tmp_path / "features" / "run", *flags)
    with pytest.raises(DistillError, match=r"gamma.*expected 0, as the teacher knows 3 other classes"):
        run_small(tmp_path / "labels" / "run", *flags, "--gamma", "1")
