"""DiffAugment is what its loops over images and pixels say, lets gradients through, and depends on its draws alone."""

import pytest
import torch
from torch import Tensor

from distill.generation.augment import AUGMENTATIONS, DRAWS, augment

EVERY = tuple(AUGMENTATIONS)


def images(count: int = 5, channels: int = 3, edge: int = 8) -> Tensor:
    return torch.randn(count, channels, edge, edge, generator=torch.Generator().manual_seed(0)).double()


def draws(count: int = 5, seed: int = 1) -> Tensor:
    return torch.rand(count, DRAWS, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def moved(image: Tensor, down: int, right: int) -> Tensor:
    out = torch.zeros_like(image)
    edge = image.shape[-1]
    for row in range(edge):
        for column in range(edge):
            if 0 <= row - down < edge and 0 <= column - right < edge:
                out[:, row, column] = image[:, row - down, column - right]
    return out


def cut(image: Tensor, row: int, column: int, size: int) -> Tensor:
    out = image.clone()
    top, left = row - size // 2, column - size // 2
    out[:, max(0, top) : max(0, top + size), max(0, left) : max(0, left + size)] = 0
    return out


@pytest.mark.parametrize("edge", [8, 12, 7])
def test_translation_and_cutout_are_those_of_loops(edge: int) -> None:
    before, numbers = images(20, channels=1, edge=edge), draws(20)
    most, size = int(edge / 8 + 0.5), int(edge / 2 + 0.5)
    steps = (numbers[:, 3:5] * (2 * most + 1)).long() - most
    expected = torch.stack([moved(image, int(d), int(r)) for image, (d, r) in zip(before, steps, strict=True)])
    assert torch.equal(augment(before, numbers, ["translation"]), expected)
    assert set(steps.flatten().tolist()) == set(range(-most, most + 1))
    centres = (numbers[:, 5:7] * (edge + 1 - size % 2)).long()
    expected = torch.stack([cut(image, int(r), int(c), size) for image, (r, c) in zip(before, centres, strict=True)])
    assert torch.equal(augment(before, numbers, ["cutout"]), expected)


def test_colour_moves_brightness_saturation_and_contrast_as_its_draws_say() -> None:
    before, same = images(), torch.full((5, DRAWS), 0.5, dtype=torch.float64)
    assert (augment(before, same, ["colour"]) - before).abs().max() <= 16 * torch.finfo(torch.float64).eps
    grey = same.clone()
    grey[:, 1] = 0
    assert augment(before, grey, ["colour"]).std(1).max() <= 16 * torch.finfo(torch.float64).eps
    brighter = same.clone()
    brighter[:, 0] = 0.75
    assert (augment(before, brighter, ["colour"]) - before).sub(0.25).abs().max() <= 16 * torch.finfo(torch.float64).eps
    flat = same.clone()
    flat[:, 2] = 0
    ratio = augment(before, flat, ["colour"]).std((1, 2, 3)) / before.std((1, 2, 3))
    assert (ratio - 0.5).abs().max() <= 16 * torch.finfo(torch.float64).eps


@pytest.mark.parametrize("name", EVERY)
def test_gradients_flow_to_first_and_second_order(name: str) -> None:
    before = images(1, channels=2, edge=4).requires_grad_()
    numbers = draws(1)
    assert torch.autograd.gradcheck(lambda each: augment(each, numbers, [name]), before)
    assert torch.autograd.gradgradcheck(lambda each: augment(each, numbers, [name]).square(), before)


def test_an_image_is_changed_by_its_own_draws_alone() -> None:
    before, numbers = images(), draws()
    together = augment(before, numbers, EVERY)
    alone = torch.cat([augment(before[[i]], numbers[[i]], EVERY) for i in range(5)])
    assert torch.equal(together, alone)
    assert torch.equal(together, augment(before, draws(), EVERY))
    assert not torch.equal(together, augment(before, draws(seed=2), EVERY))


def test_every_change_has_columns_of_its_own() -> None:
    columns = [range(first, first + width) for first, width, _ in AUGMENTATIONS.values()]
    assert sorted(column for each in columns for column in each) == list(range(DRAWS))
