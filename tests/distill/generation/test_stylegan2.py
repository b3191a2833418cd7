"""StyleGAN2's operations against slow references that loop over images and pixels."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from distill.generation.models.modulated import modulated
from distill.generation.models.resample import binomial, doubled, halved, upfirdn
from distill.generation.models.stylegan2 import with_deviation

EPS = torch.finfo(torch.float64).eps


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def slow_upfirdn(maps: Tensor, taps: Tensor, up: int, down: int, padding: tuple[int, int]) -> Tensor:
    """Return the sum over taps of every output pixel, one after the other, as the definition has it."""
    batch, channels, height, width = maps.shape
    before, after = padding
    count = len(taps)
    out_height, out_width = ((edge * up + before + after - count) // down + 1 for edge in (height, width))
    out = maps.new_zeros(batch, channels, out_height, out_width)
    for row in range(out_height):
        for column in range(out_width):
            for i in range(count):
                for j in range(count):
                    # A convolution runs through its taps backwards.
                    y, x = row * down + count - 1 - i - before, column * down + count - 1 - j - before
                    if y % up == 0 and x % up == 0 and 0 <= y // up < height and 0 <= x // up < width:
                        out[:, :, row, column] += up**2 * taps[i] * taps[j] * maps[:, :, y // up, x // up]
    return out


@pytest.mark.parametrize(("up", "down", "padding"), [(1, 1, (1, 2)), (2, 1, (2, 1)), (1, 2, (1, 1)), (2, 3, (3, 0))])
@pytest.mark.parametrize("taps", [[1.0, 3.0, 3.0, 1.0], [1.0, 2.0, -4.0]])
def test_upfirdn_is_its_definition(up: int, down: int, padding: tuple[int, int], taps: list[float]) -> None:
    maps, filtered = numbers(2, 3, 5, 4), torch.tensor(taps, dtype=torch.float64)
    fast = upfirdn(maps, filtered, up=up, down=down, padding=padding)
    slow = slow_upfirdn(maps, filtered, up, down, padding)
    # 16 products a pixel, each up to up²·16·|pixel|.
    assert (fast - slow).abs().max() <= 16 * EPS * up**2 * float(filtered.abs().sum()) ** 2 * float(maps.abs().max())


def test_a_constant_stays_itself_away_from_the_edges_and_sizes_double_and_halve() -> None:
    flat = torch.ones(1, 1, 8, 8, dtype=torch.float64)
    twice, half = doubled(flat, binomial().double()), halved(flat, binomial().double())
    assert twice.shape[-1] == 16
    assert half.shape[-1] == 4
    assert (twice[..., 2:-2, 2:-2] - 1).abs().max() <= 8 * EPS
    assert (half[..., 1:-1, 1:-1] - 1).abs().max() <= 8 * EPS


@pytest.mark.parametrize("is_demodulated", [True, False])
@pytest.mark.parametrize("is_doubling", [True, False])
def test_a_modulated_convolution_is_one_of_each_images_own_weights(is_demodulated: bool, is_doubling: bool) -> None:
    maps, weight, styles = numbers(3, 4, 5, 5), numbers(6, 4, 3, 3, seed=1), numbers(3, 4, seed=2)
    taps = binomial().double()
    fast = modulated(maps, weight, styles, is_demodulated=is_demodulated, taps=taps if is_doubling else None)
    for image, style, found in zip(maps, styles, fast, strict=True):
        own = weight * style[None, :, None, None]
        if is_demodulated:
            own = own / (own.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        if is_doubling:
            # Zeros between the pixels, a true convolution, then the filter.
            wide = torch.zeros(1, 4, 9, 9, dtype=torch.float64)
            wide[0, :, ::2, ::2] = image
            expected = functional.conv2d(functional.pad(wide, (2, 2, 2, 2)), own.flip((2, 3)))
            expected = slow_upfirdn(expected, 2 * taps, 1, 1, (1, 1))
        else:
            expected = functional.conv2d(image[None], own, padding=1)
        # 36 products, twice, of numbers up to about 40.
        assert (found - expected[0]).abs().max() <= 36 * EPS * 40


def test_the_deviation_is_that_of_each_group() -> None:
    maps = numbers(6, 2, 3, 3)
    found = with_deviation(maps, 4)  # gcd(4, 6) = 2 images a group: 0 with 3, 1 with 4, 2 with 5
    assert torch.equal(found[:, :2], maps)
    for first in range(3):
        pair = maps[[first, first + 3]]
        expected = (pair.var(0, correction=0) + 1e-8).sqrt().mean()
        assert (found[[first, first + 3], 2] - expected).abs().max() <= 4 * EPS


def test_equal_images_have_no_deviation() -> None:
    assert with_deviation(torch.ones(4, 2, 3, 3), 4)[:, 2].max() <= 1.001e-4  # √1e-8, the floor under the root
