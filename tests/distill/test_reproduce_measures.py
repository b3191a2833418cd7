"""What the experiments measure, against slow or closed forms."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from small_runs import run_small, small
from torch import Tensor, nn

from distill.errors import RecipeError
from distill.models import ConvNet, DeiT
from distill.projector import Projector
from distill.reproduce.attention import agreement, attention_distance, attention_maps, energy, uniform_distance
from distill.reproduce.fig6 import kept_after_shift
from distill.reproduce.measured import Measured
from distill.reproduce.redundancy import correlation, mean_correlation, singular_values
from distill.reproduce.trained import load
from distill.spectrum import effective_rank, spectrum

EPS = torch.finfo(torch.float32).eps


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def student() -> DeiT:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return DeiT(image_size=8, channels=1, classes=10, width=16, depth=2, heads=4, patch=2).eval()


def test_correlation_is_numpys() -> None:
    features = drawn(50, 6)
    expected = np.corrcoef(features.double().numpy(), rowvar=False)
    # Sums of 50 products in float64, centred in float32.
    np.testing.assert_allclose(correlation(features).numpy(), expected, atol=50 * EPS)


def test_channels_that_are_copies_correlate_wholly_and_a_dead_channel_not_at_all() -> None:
    one = drawn(40, 1)
    assert mean_correlation(torch.cat([one, -2 * one, one + 3], 1)) == pytest.approx(1, abs=40 * EPS)
    assert mean_correlation(torch.cat([one, torch.zeros(40, 1)], 1)) == 0


def test_effective_rank_counts_equal_directions() -> None:
    assert effective_rank(torch.full((5,), 0.2, dtype=torch.float64)) == pytest.approx(5)
    assert effective_rank(torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)) == 1


def test_an_orthogonal_projector_keeps_the_spectrum_and_a_linear_one_does_not() -> None:
    features = drawn(60, 8)
    orthogonal, linear = Projector(8, 12), nn.Linear(8, 12)
    kept = spectrum(orthogonal(features).detach())[:8]
    torch.testing.assert_close(kept, spectrum(features), atol=60 * EPS, rtol=0)
    assert (spectrum(linear(features).detach())[:8] - spectrum(features)).abs().max() > 0.01
    with torch.no_grad():
        torch.testing.assert_close(
            singular_values(orthogonal, 8), torch.ones(8, dtype=torch.float64), atol=8 * 12 * EPS, rtol=0
        )
        expected = torch.linalg.svdvals(linear.weight.double())
        torch.testing.assert_close(singular_values(linear, 8), expected, atol=8 * 12 * EPS, rtol=0)


def test_attention_maps_are_what_the_blocks_mix_values_by() -> None:
    model, pixels = student(), drawn(3, 1, 8, 8)
    inputs: list[Tensor] = []
    hooks = [block.norm_1.register_forward_hook(lambda _, __, out: inputs.append(out)) for block in model.blocks]
    maps = attention_maps(model, pixels)
    for hook in hooks:
        hook.remove()
    assert maps.shape == (2, 3, 4, 18, 18)
    for block, weights, tokens in zip(model.blocks, maps, inputs, strict=True):
        value = block.query_key_value(tokens)[..., 32:].unflatten(-1, (4, 4)).transpose(1, 2)
        mixed = block.output((weights @ value).transpose(1, 2).flatten(2))
        # A sum over 18 tokens, then over 16 channels.
        torch.testing.assert_close(mixed, block._attention(tokens), atol=18 * 16 * EPS, rtol=0)


def test_attention_maps_leave_no_hook_behind() -> None:
    model = student()
    attention_maps(model, drawn(1, 1, 8, 8))
    assert all(not block.query_key_value._forward_hooks for block in model.blocks)


def test_a_convolutional_student_is_refused() -> None:
    model = ConvNet(image_size=8, channels=1, classes=10, width=4)
    with pytest.raises(RecipeError, match=r"student.*DeiT.*ConvNet"):
        attention_maps(model, drawn(1, 1, 8, 8))


def test_attention_distance_is_the_weighted_distance_of_patch_centres() -> None:
    weights = drawn(3, 2, 1, 8, 8).softmax(-1)  # three layers, two images, two special tokens and a grid of 2 x 3
    found = attention_distance(weights, (2, 3), 4)
    assert found.shape == (2, 3, 1)
    for layer, image in itertools.product(range(3), range(2)):
        expected = 0.0
        for query, key in itertools.product(range(6), range(6)):
            among = weights[layer, image, 0, 2 + query, 2:]
            distance = 4 * math.hypot(query // 3 - key // 3, query % 3 - key % 3)
            expected += float(among[key] / among.sum()) * distance / 6
        assert float(found[image, layer, 0]) == pytest.approx(expected, rel=100 * EPS)


def test_looking_nowhere_else_is_distance_0_and_looking_everywhere_is_the_uniform_one() -> None:
    nowhere = torch.eye(11)[None, None, None]
    everywhere = torch.full((1, 1, 1, 11, 11), 1 / 11)
    assert float(attention_distance(nowhere, (3, 3), 2)) == 0
    assert float(attention_distance(everywhere, (3, 3), 2)) == pytest.approx(uniform_distance((3, 3), 2), rel=9 * EPS)


def test_maps_agree_by_where_their_energy_lies() -> None:
    maps = energy(drawn(5, 7, 4, 4))
    finer = maps.repeat_interleave(2, 1).repeat_interleave(2, 2)
    assert agreement(maps, maps + 3) == pytest.approx(1)
    assert agreement(maps, -maps) == pytest.approx(-1)
    assert agreement(2 * finer, maps) == pytest.approx(1)
    assert math.isnan(agreement(maps, torch.ones(5, 4, 4)))


def test_a_decision_that_ignores_places_survives_a_shift_and_one_that_reads_a_corner_does_not() -> None:
    pixels = torch.zeros(2, 1, 4, 4)
    pixels[:, :, 1, 1] = 1

    def by_corner(images: Tensor) -> Tensor:
        return torch.stack([images[:, 0, 1, 1], 0.5 + 0 * images[:, 0, 0, 0]], 1)

    assert kept_after_shift(lambda images: torch.tensor([[1.0, 0.0]]).expand(len(images), -1), pixels) == 1
    assert kept_after_shift(by_corner, pixels) == 0


def test_a_run_without_distillation_is_looked_at_beside_the_teacher_of_the_others(tmp_path: Path) -> None:
    loaded = []
    for method in ("vkd", "none"):
        run_small(tmp_path / method, "--method", method)
        loaded.append(load(small("--method", method), tmp_path / method, tmp_path / "teacher").teacher.state_dict())
    trained, beside = loaded
    assert all(torch.equal(value, beside[name]) for name, value in trained.items())


def test_measured_quantities_are_compared_by_seed_and_only_as_far_as_the_seeds_tell() -> None:
    runs = {"a": [{"x": 1.0}, {"x": 2.0}, {"x": 4.0}], "b": [{"x": 0.0}, {"x": 1.0}, {"x": 3.0}]}
    runs["c"] = [{"x": 5.0}, {"x": 2.0}, {"x": 0.0}]
    measured = Measured(runs, {"x": "width"})
    assert measured.sentences("a", "b") == ["Width, a − b: +1.000 ± 0.000."]
    assert "can't tell from 0" in measured.sentences("a", "c")[0]
    assert [each.split(":")[0] for each in measured.all_sentences()] == ["Width, b − a", "Width, c − a", "Width, c − b"]
    assert [row[0] for row in measured.table().rows] == ["width"]
    assert measured.figures()["runs"] == runs
