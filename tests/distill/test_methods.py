"""Every method of the paper is a recipe value, and its loss is what its source says."""

from pathlib import Path

import pytest
import torch
from small_runs import figures, run_small, small
from torch import Tensor
from torch.nn import functional

from distill import checkpoint, methods
from distill.config import ClassificationConfig
from distill.distillation import FeatureDistillation
from distill.distilled import Distilled, paired
from distill.errors import RecipeError
from distill.models import ConvNet, DeiT
from distill.task import seeded
from stiefel.errors import StiefelError

EPS = torch.finfo(torch.float32).eps


@pytest.fixture
def batch() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn(6, 1, 8, 8, generator=generator)
    return {"pixels": pixels, "labels": torch.randint(10, (6,), generator=generator)}


def distilled(config: ClassificationConfig) -> Distilled:
    with seeded(0):
        student = DeiT(image_size=8, channels=1, classes=10, width=16, depth=1, heads=2, patch=2)
        teacher = ConvNet(image_size=8, channels=1, classes=10, width=4)
        by = {"projector": config.projector, "normalise": config.normalise, "loss": config.loss}
        return Distilled(config, student, teacher, [FeatureDistillation(16, 16, **by)] if config.alpha else [])


@pytest.mark.parametrize("name", sorted(methods.METHODS))
def test_every_method_trains_and_reports_the_parts_of_its_loss(name: str, tmp_path: Path) -> None:
    config = small("--method", name)
    summary = run_small(tmp_path / "run", "--method", name)
    assert 0 <= summary["accuracy"] <= 1
    parts = {key for key in figures(tmp_path / "run")[-1] if key.endswith("_loss")} - {"test_loss", "label_loss"}
    assert parts == ({"feature_loss"} if config.alpha else set()) | ({"teacher_label_loss"} if config.gamma else set())


@pytest.mark.parametrize("name", sorted(methods.METHODS))
def test_a_method_is_its_keys_and_a_flag_beside_it_changes_one(name: str) -> None:
    config = small("--method", name)
    assert {key: getattr(config, key) for key in methods.METHODS[name]} == methods.METHODS[name]
    assert small(f"--method={name}", "--loss", "mse").loss == "mse"


@pytest.mark.parametrize("name", sorted(methods.METHODS))
def test_a_config_knows_the_method_that_it_is(name: str) -> None:
    assert methods.name_of(small("--method", name)) == name
    assert methods.name_of(small("--projector", "mlp", "--loss", "mse")) == "own"


def test_without_distillation_no_teacher_is_trained(tmp_path: Path) -> None:
    run_small(tmp_path / "run", "--method", "none")
    assert not (tmp_path / "teacher").exists()


def test_an_unknown_method_is_refused_with_the_names() -> None:
    with pytest.raises(RecipeError, match="one of ensemble, hard, linear, mlp, none, simkd, soft, srd, vkd"):
        small("--method", "vdk")
    with pytest.raises(RecipeError, match="method"):
        small("--method")


def test_soft_labels_are_the_divergence_from_the_teacher_at_a_temperature(batch: dict[str, Tensor]) -> None:
    module = distilled(ClassificationConfig(alpha=0, gamma=1, temperature=3)).eval()
    parts = module(batch)
    logits = module.student(batch["pixels"]).distillation_logits
    taught = module._teacher[0](batch["pixels"]).logits
    p, q = (taught.double() / 3).softmax(-1), (logits.double() / 3).softmax(-1)
    expected = 9 * (p * (p / q).log()).sum(-1).mean()
    assert parts["teacher_label_loss"].item() == pytest.approx(expected.item(), rel=100 * EPS)


def test_hard_labels_are_the_teachers_decisions(batch: dict[str, Tensor]) -> None:
    module = distilled(ClassificationConfig(alpha=0, gamma=1, teacher_labels="hard")).eval()
    decisions = module._teacher[0](batch["pixels"]).logits.argmax(-1)
    expected = functional.cross_entropy(module.student(batch["pixels"]).distillation_logits, decisions)
    assert torch.equal(module(batch)["teacher_label_loss"], expected)


def test_the_loss_is_the_weighted_sum_of_its_parts(batch: dict[str, Tensor]) -> None:
    parts = distilled(ClassificationConfig(alpha=3, gamma=2, label_weight=0.5)).eval()(batch)
    expected = 0.5 * parts["label_loss"] + 3 * parts["feature_loss"] + 2 * parts["teacher_label_loss"]
    assert (parts["loss"] - expected).abs() <= 8 * EPS * expected


def test_the_reused_head_reads_projected_features_and_comes_with_the_checkpoint(tmp_path: Path) -> None:
    run_small(tmp_path / "run", "--method", "simkd")
    held = checkpoint.load(checkpoint.paths(tmp_path / "run")[-1])["module"]
    assert "reused.classifier.weight" in held
    run_small(tmp_path / "other", "--method", "vkd")
    assert not any(
        key.startswith("reused") for key in checkpoint.load(checkpoint.paths(tmp_path / "other")[-1])["module"]
    )


def test_a_perfect_student_of_simkd_decides_as_its_teacher(batch: dict[str, Tensor]) -> None:
    module = distilled(ClassificationConfig(head="teacher", normalise="none", label_weight=0)).eval()
    assert module.reused is not None
    assert module.distillations
    feature = module.student(batch["pixels"]).feature
    assert torch.equal(
        module.logits(batch["pixels"]), module.reused.classify(module.distillations[0].projector(feature))
    )
    module.train()
    assert not module.reused.training


@pytest.mark.parametrize(
    ("key", "value"),
    [("normalise", "standardise"), ("tokens", "dense"), ("layers", "blocks.0=stages.1")],
)
def test_what_the_reused_head_cannot_read_is_refused(key: str, value: str) -> None:
    with pytest.raises(RecipeError, match=f"'{key}'.*with head: teacher"):
        small("--method", "simkd", f"--{key}", value)


@pytest.mark.parametrize(("key", "value"), [("scale.average", "0.9"), ("scale.shard_teacher", "true")])
def test_a_scale_that_the_reused_head_does_not_go_with_is_refused(key: str, value: str) -> None:
    with pytest.raises(RecipeError, match=f"'{key}'.*with head: teacher"):
        small("--method", "simkd", f"--{key}", value)


def test_dense_tokens_are_places_of_the_coarser_grid() -> None:
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 3, 4, 4, generator=generator), torch.randn(2, 5, 2, 2, generator=generator)
    ours, theirs = paired(student, teacher, tokens="dense")
    assert (ours.shape, theirs.shape) == ((8, 3), (8, 5))
    assert torch.equal(theirs[5], teacher[1, :, 0, 1])
    expected = student[1, :, :2, 2:].mean((-2, -1))
    assert (ours[5] - expected).abs().max() <= 8 * EPS * expected.abs().max()
    pooled = paired(student, teacher, tokens="pooled")
    assert torch.equal(pooled[0], student.mean((-2, -1)))


def test_dense_tokens_train(tmp_path: Path) -> None:
    summary = run_small(tmp_path / "run", "--tokens", "dense", "--normalise", "whiten")
    assert 0 <= summary["accuracy"] <= 1


def test_several_layers_are_averaged_each_with_a_projector_of_its_own(tmp_path: Path) -> None:
    flags = ["--layers", "blocks.0=stages.1,final", "--tokens", "dense"]
    run_small(tmp_path / "run", *flags)
    held = checkpoint.load(checkpoint.paths(tmp_path / "run")[-1])["module"]
    projectors = [key for key in held if key.endswith("projector.linear.parametrizations.weight.original")]
    assert [tuple(held[key].shape) for key in projectors] == [(8, 8), (16, 8)]


@pytest.mark.parametrize(
    ("layers", "named"),
    [("blocks.0", "pairs such as"), ("blocks.0=", "pairs such as"), ("blocks.9=stages.1", "blocks.0"), ("", "pairs")],
)
def test_layers_that_are_none_are_refused_with_near_names(layers: str, named: str, tmp_path: Path) -> None:
    with pytest.raises((RecipeError, StiefelError), match=named):
        run_small(tmp_path / "run", "--layers", layers)
    assert not (tmp_path / "run").exists()


def test_the_learning_rate_scales_with_the_batch(tmp_path: Path) -> None:
    run_small(tmp_path / "own", "--optimiser.lr", "2e-3")
    run_small(tmp_path / "scaled", "--optimiser.lr", "1e-3", "--optimiser.lr_batch", "8")
    assert figures(tmp_path / "own") == figures(tmp_path / "scaled")


def test_an_average_is_evaluated_beside_the_weights_and_survives_a_resume(tmp_path: Path) -> None:
    run_small(tmp_path / "run", "--scale.average", "0.9")
    record = figures(tmp_path / "run")[-1]
    assert record["average_accuracy"] >= 0
    assert record["average_test_loss"] != record["test_loss"]
    held = checkpoint.load(checkpoint.paths(tmp_path / "run")[-1])
    assert held["average"]["updates"] == 12
    assert {f"student.{key}" for key in held["average"]["averages"]} <= set(held["module"])
