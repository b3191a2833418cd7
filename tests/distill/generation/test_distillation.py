"""What a discriminator learns: each loss against its formula written out, and whom its gradient reaches."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from distill.errors import RecipeError, WhiteningError
from distill.generation.config import KDDLGAN, GenerationConfig, Whitening
from distill.generation.distillation import Both, Distillation, VkD, build
from distill.generation.methods import METHODS
from distill.normalise import Whiten

EPS = torch.finfo(torch.float32).eps
BATCH, STUDENT, TEACHER, CLASSES = 20, 6, 9, 4


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def students() -> Both:
    return Both(drawn(BATCH, STUDENT, seed=0).requires_grad_(), drawn(BATCH, STUDENT, seed=1).requires_grad_())


def teachers() -> Both:
    return Both(drawn(BATCH, TEACHER, seed=2).requires_grad_(), (2 + drawn(BATCH, TEACHER, seed=3)).requires_grad_())


def built(config: GenerationConfig) -> Distillation:
    torch.manual_seed(0)
    distillation = build(config, STUDENT, TEACHER, drawn(CLASSES, TEACHER, seed=4))
    assert distillation is not None
    return distillation


@pytest.mark.parametrize("method", [name for name in METHODS if name != "none"])
def test_every_methods_gradient_reaches_both_batches_of_the_discriminator_and_no_teacher(method: str) -> None:
    distillation, student, teacher = built(replace(GenerationConfig(), **METHODS[method])), students(), teachers()
    terms = distillation(student, teacher)
    torch.stack(list(terms.values())).sum().backward()
    for each in student:
        assert each.grad is not None
        assert float(each.grad.norm()) > 0
    assert all(each.grad is None for each in teacher)
    assert all(parameter.grad is not None for parameter in distillation.parameters())
    assert all(term.isfinite() and term.ndim == 0 for term in terms.values())


def test_without_alpha_nothing_is_distilled_whatever_else_a_recipe_says() -> None:
    assert METHODS["none"] == {"alpha": 0.0}
    for name in ("vkd", "kd_dlgan"):
        assert build(GenerationConfig(alpha=0.0, distillation=name), STUDENT, TEACHER) is None


@pytest.mark.parametrize("loss", ["mse", "smooth_l1"])
@pytest.mark.parametrize("normalise", ["none", "standardise", "whiten"])
def test_vkd_is_the_projected_feature_against_the_normalised_teacher_of_both_batches(normalise: str, loss: str) -> None:
    distillation = built(GenerationConfig(alpha=0.5, normalise=normalise, loss=loss))
    assert isinstance(distillation, VkD)
    student, teacher = students(), teachers()
    found = distillation(student, teacher)["feature_loss"].detach()
    projected = torch.cat(student) @ distillation.distillation.projector.matrix
    rows = torch.cat(teacher).detach()
    if normalise == "whiten":
        rows = Whiten(TEACHER)(rows)
    elif normalise == "standardise":
        rows = (rows - rows.mean(1, keepdim=True)) / (rows.var(1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    gap = (projected - rows).abs()
    each = gap.pow(2) if loss == "mse" else torch.where(gap < 1, gap.pow(2) / 2, gap - 0.5)
    assert float(found) == pytest.approx(0.5 * float(each.detach().mean()), rel=TEACHER * BATCH * EPS)


def test_the_whitening_follows_its_keys_and_tells_its_rank() -> None:
    keys = Whitening(shrinkage=0.1, momentum=1.0, groups=3)
    distillation = built(GenerationConfig(whitening=keys))
    assert isinstance(distillation, VkD)
    distillation(students(), teachers())
    whiten = distillation.distillation.normalise
    assert isinstance(whiten, Whiten)
    assert (whiten.shrinkage, whiten.momentum, whiten.groups) == (0.1, 1.0, 3)
    figures = distillation.figures()
    assert 1 <= figures["teacher_rank"] <= TEACHER
    assert figures["defect"] <= STUDENT * TEACHER * EPS


def test_whitening_at_the_published_batch_and_width_is_refused_unless_it_is_made_well_posed() -> None:
    teacher = Both(drawn(50, 512, seed=0), drawn(50, 512, seed=1))
    student = Both(drawn(50, STUDENT, seed=2), drawn(50, STUDENT, seed=3))

    def loss(keys: Whitening) -> float:
        return VkD(STUDENT, 512, GenerationConfig(whitening=keys))(student, teacher)["feature_loss"].item()

    with pytest.raises(WhiteningError, match=r"full rank 512, got rank \d\d after 1 batches; set shrinkage > 0"):
        loss(Whitening(shrinkage=0.0, momentum=1.0))
    for keys in (Whitening(), Whitening(shrinkage=0.0, momentum=1.0, groups=16)):
        assert 0 < loss(keys) < 3  # unit variances of both sides, and rounding noise would be millions


def test_kd_dlgans_terms_are_its_formulas_written_out() -> None:
    weights = KDDLGAN(aggregated=2.0, correlated=3.0, diversity=5.0)
    distillation, texts = (
        built(GenerationConfig(distillation="kd_dlgan", kd_dlgan=weights)),
        drawn(CLASSES, TEACHER, seed=4),
    )
    student, teacher = (Both(*(each.detach() for each in both)) for both in (students(), teachers()))
    distillation.requires_grad_(False)
    first, second = (layer for layer in distillation.get_submodule("head").children())
    heads = [second(first(each)) for each in student]
    distances = [
        sum(float((h - t).norm()) for h, t in zip(head, known, strict=True)) / BATCH
        for head in heads
        for known in teacher
    ]

    def correlations(features: Tensor) -> Tensor:
        rows = torch.stack([torch.stack([row @ text for text in texts]) for row in features])
        return rows / rows.norm(dim=1, keepdim=True)

    of_heads, of_teachers = [correlations(each) for each in heads], [correlations(each) for each in teacher]
    mismatch = sum(float((h - t).pow(2).sum()) for h, t in zip(of_heads, of_teachers, strict=True))
    fake = of_heads[1]
    spread = [float((fake[i] - fake[j]).pow(2).sum()) for i in range(BATCH) for j in range(BATCH) if i != j]
    terms = distillation(student, teacher)
    exact = BATCH * 1024 * EPS  # sums over a batch, behind a layer of width 1024
    assert float(terms["aggregated_loss"]) == pytest.approx(2 * sum(distances), rel=exact)
    assert float(terms["correlated_loss"]) == pytest.approx(3 * mismatch, rel=exact)
    assert float(terms["diversity_loss"]) == pytest.approx(-5 * sum(spread) / len(spread), rel=exact)


def test_kd_dlgan_as_released_has_no_diversity_term_and_its_weights_scale_by_alpha() -> None:
    config = replace(GenerationConfig(), **METHODS["kd_dlgan"])
    terms, doubled = (built(each)(students(), teachers()) for each in (config, replace(config, alpha=2.0)))
    assert set(terms) == {"aggregated_loss", "correlated_loss"}
    assert all(torch.allclose(doubled[name], 2 * terms[name], rtol=4 * EPS) for name in terms)


def test_diversity_draws_generated_images_correlations_apart() -> None:
    weights = KDDLGAN(aggregated=0.0, correlated=0.0, diversity=1.0)
    distillation, student = built(GenerationConfig(distillation="kd_dlgan", kd_dlgan=weights)), students()
    before = distillation(student, teachers())["diversity_loss"]
    before.backward()
    assert student.fake.grad is not None
    moved = Both(student.real, student.fake - 0.01 * student.fake.grad)
    assert distillation(moved, teachers())["diversity_loss"] < before


def test_kd_dlgan_without_texts_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"distillation.*texts"):
        build(GenerationConfig(distillation="kd_dlgan"), STUDENT, TEACHER)
