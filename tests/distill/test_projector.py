"""Projectors: what is kept, in both width cases, for every parameterisation."""

import pytest
import torch
from torch import nn

import stiefel
from distill import FeatureDistillation, Projector, projector
from distill.errors import WidthError
from distill.projector import Projectors, Separate

EPS = torch.finfo(torch.float32).eps
BY = stiefel.names()


@pytest.fixture
def features() -> torch.Tensor:
    return torch.randn(32, 24, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("by", BY)
def test_a_widening_projector_keeps_every_inner_product(by: str, features: torch.Tensor) -> None:
    layer = Projector(24, 40, by=by)
    kept, before = layer(features) @ layer(features).T, features @ features.T
    norm = features.norm(dim=1)
    assert layer.is_isometry
    assert ((kept - before).abs() <= 30 * 40 * EPS * norm[:, None] * norm[None, :]).all()
    assert layer.defect() <= 30 * 40 * EPS


@pytest.mark.parametrize("by", BY)
def test_a_narrowing_projector_keeps_inner_products_on_its_row_space_alone(by: str, features: torch.Tensor) -> None:
    layer = Projector(24, 10, by=by)
    inside = features @ layer.matrix @ layer.matrix.T
    assert not layer.is_isometry
    assert "only" in layer.statement
    assert torch.allclose(layer(inside).norm(dim=1), inside.norm(dim=1), rtol=30 * 24 * EPS)
    assert (layer(features).norm(dim=1) < features.norm(dim=1)).all()


@pytest.mark.parametrize("by", [name for name in BY if stiefel.get(name).claims.optimiser == "any"])
def test_weight_decay_neither_breaks_nor_silences_the_projector(by: str, features: torch.Tensor) -> None:
    """torch's own orthogonal map has an exactly zero weight, and a zero gradient, after one such step."""
    student = nn.Linear(24, 24)
    distillation = FeatureDistillation(24, 40, by=by)
    trained = [*student.parameters(), *distillation.parameters()]
    optimiser = torch.optim.AdamW(trained, lr=5e-4, weight_decay=0.05)
    teacher = torch.randn(32, 40, generator=torch.Generator().manual_seed(1))
    for _ in range(10):
        optimiser.zero_grad()
        distillation(student(features), teacher).backward()
        optimiser.step()
    assert stiefel.residual_in_eps(distillation.projector.linear.weight) <= 30
    assert student.weight.grad is not None
    assert student.weight.grad.norm() > 1e-4  # 7e-3 at the start; exactly 0 with torch's map


@pytest.mark.parametrize("by", BY)
def test_autocast_leaves_the_point_in_float32(by: str) -> None:
    layer = Projector(24, 40, by=by)
    with torch.autocast("cpu", torch.bfloat16):
        matrix = layer.matrix
        projected = layer(torch.randn(4, 24))
    assert matrix.dtype == torch.float32
    assert stiefel.residual_in_eps(matrix.T) <= 30
    assert projected.dtype == torch.bfloat16


@pytest.mark.parametrize("widths", [(24, 40), (24, 24), (24, 10)], ids=str)
@pytest.mark.parametrize("by", BY)
def test_a_batch_of_projectors_is_and_learns_what_each_alone_would(by: str, widths: tuple[int, int]) -> None:
    torch.manual_seed(0)
    together = Projectors(3, *widths, by=by)
    torch.manual_seed(0)
    apart = Separate(Projector(*widths, by=by) for _ in range(3))
    features = torch.randn(3, 32, 24)
    wanted = torch.randn(3, 32, widths[1])
    for each in (together, apart):
        optimiser = stiefel.optim.build(each, "sgd", lr=0.1)
        for _ in range(3):
            optimiser.zero_grad()
            (torch.stack(each(features.unbind())) - wanted).square().mean().backward()
            optimiser.step()
    assert max(each.defect() for each in apart) == pytest.approx(together.defect(), abs=30 * 40 * EPS)
    # Rounding of a batched product is its own; three steps of 0.1 carry it along.
    difference = torch.stack(together(features.unbind())) - torch.stack(apart(features.unbind()))
    assert difference.abs().max() <= 100 * 40 * EPS


@pytest.mark.parametrize("name", projector.names())
def test_several_projectors_map_each_to_the_teachers_width(name: str, features: torch.Tensor) -> None:
    found = projector.build_several(name, 2, 24, 40)([features, features[:7]])
    assert [tuple(each.shape) for each in found] == [(32, 40), (7, 40)]


@pytest.mark.parametrize("name", projector.names())
def test_every_projector_maps_to_the_teachers_width(name: str, features: torch.Tensor) -> None:
    assert projector.build(name, 24, 40)(features).shape == (32, 40)


def test_an_unknown_projector_lists_the_valid_ones() -> None:
    with pytest.raises(stiefel.StiefelError, match=r"'orthogonl'; choose one of ensemble, linear, mlp, orthogonal"):
        projector.build("orthogonl", 4, 8)


def test_an_unknown_parameterisation_lists_the_valid_ones() -> None:
    with pytest.raises(stiefel.StiefelError, match=r"'caley'; choose one of cayley, .*riemannian, module:Class"):
        Projector(4, 8, by="caley")


@pytest.mark.parametrize("widths", [(0, 8), (4, -1)])
def test_a_width_below_one_is_refused(widths: tuple[int, int]) -> None:
    with pytest.raises(WidthError, match="expected student_dim and teacher_dim >= 1"):
        Projector(*widths)
