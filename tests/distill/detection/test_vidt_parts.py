"""ViDT's parts against slow twins that spell out what they do: window attention, deformable attention, positions."""

import math
from collections.abc import Callable

import pytest
import torch
from small_detectors import batch, small
from torch import Tensor

from distill.detection.models import build
from distill.detection.models.attention import ReconfiguredAttention, Sight
from distill.detection.models.body import Merge
from distill.detection.models.config import PRESETS
from distill.detection.models.deformable import DeformableAttention, Memory, sample
from distill.detection.models.padding import sine_positions, valid_ratios

EPS = torch.finfo(torch.float64).eps
Draw = Callable[..., Tensor]


@pytest.fixture
def drawn() -> Draw:
    """Return a function that draws a float64 tensor of a shape, from the test's own seed."""
    generator = torch.Generator().manual_seed(0)
    return lambda *shape: torch.randn(shape, generator=generator, dtype=torch.float64)


def attention(window: int, shift: int, drawn: Draw) -> ReconfiguredAttention:
    module = ReconfiguredAttention(8, 2, window, shift).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(drawn(*parameter.shape))
    return module


def softmaxed(module: ReconfiguredAttention, query: Tensor, seen: Tensor, bias: Tensor) -> Tensor:
    """One token over several, head by head. query: (dim); seen: (tokens, dim); bias: (tokens, heads)."""
    weight, shift = module.query_key_value.weight, module.query_key_value.bias
    queries = weight[:8] @ query + shift[:8]
    keys, values = seen @ weight[8:16].mT + shift[8:16], seen @ weight[16:].mT + shift[16:]
    heads = []
    for head in range(2):
        part = slice(4 * head, 4 * head + 4)
        shares = (keys[:, part] @ queries[part] / 2 + bias[:, head]).softmax(0)  # 2 is the root of a head's width
        heads.append(shares @ values[:, part])
    return module.output(torch.cat(heads))


def bounds(place: int, window: int, shift: int, size: int) -> range:
    """The rows (or columns) that one attends to: windows begin at the shift, and what is before it is one by itself."""
    if shift and place < shift:
        return range(0, shift)
    start = shift + (place - shift) // window * window
    return range(start, min(start + window, size))


@pytest.mark.parametrize(("window", "shift"), [(3, 0), (3, 1), (4, 2)])
@pytest.mark.parametrize("size", [(8, 12), (5, 3), (7, 10)])
@torch.no_grad()
def test_patches_attend_within_windows_without_a_mask(
    window: int, shift: int, size: tuple[int, int], drawn: Draw
) -> None:
    module, patches = attention(window, shift, drawn), drawn(1, *size, 8)
    found, _ = module(patches, drawn(1, 2, 8), None)
    height, width = (edge + -edge % window for edge in size)
    filled = torch.zeros(height, width, 8, dtype=torch.float64)
    filled[: size[0], : size[1]] = patches[0]
    for row in range(size[0]):
        for column in range(size[1]):
            seen, bias = [], []
            for other_row in bounds(row, window, shift, height):
                for other_column in bounds(column, window, shift, width):
                    seen.append(filled[other_row, other_column])
                    down, right = row - other_row + window - 1, column - other_column + window - 1
                    bias.append(module.bias[down * (2 * window - 1) + right])
            expected = softmaxed(module, filled[row, column], torch.stack(seen), torch.stack(bias))
            assert (found[0, row, column] - expected).abs().max() <= 100 * EPS * expected.abs().max()


@pytest.mark.parametrize("shift", [0, 1])
def test_patches_attend_alike_where_the_bias_is_trained(shift: int, drawn: Draw) -> None:
    module, patches, det = attention(3, shift, drawn), drawn(2, 7, 5, 8), drawn(2, 2, 8)
    found, _ = module(patches, det, None)
    with torch.no_grad():
        expected, _ = module(patches, det, None)
    assert found.requires_grad
    assert (found - expected).abs().max() <= 100 * EPS * expected.abs().max()


@torch.no_grad()
def test_det_tokens_attend_to_one_another_and_in_sight_of_patches_to_those_within_the_image(drawn: Draw) -> None:
    module, patches, det = attention(3, 0, drawn), drawn(1, 4, 5, 8), drawn(1, 3, 8)
    positions, padding = drawn(1, 4, 5, 8), torch.zeros(1, 4, 5, dtype=torch.bool)
    padding[:, 3:] = padding[:, :, 2:] = True
    inside = (patches + positions)[~padding]
    for sight, seen in ((None, det[0]), (Sight(positions, padding), torch.cat([inside, det[0]]))):
        _, found = module(patches, det, sight)
        for index in range(3):
            expected = softmaxed(module, det[0, index], seen, torch.zeros(len(seen), 2, dtype=torch.float64))
            assert (found[0, index] - expected).abs().max() <= 100 * EPS * expected.abs().max()


def bilinear(level: Tensor, x: float, y: float) -> Tensor:
    """Read a map (h, w, dim) at a point in 0 … 1, edge to edge, by its four neighbours; places outside are zero."""
    height, width = level.shape[:2]
    column, row = x * width - 0.5, y * height - 0.5
    total = torch.zeros_like(level[0, 0])
    for near_row in (math.floor(row), math.floor(row) + 1):
        for near_column in (math.floor(column), math.floor(column) + 1):
            if 0 <= near_row < height and 0 <= near_column < width:
                share = (1 - abs(row - near_row)) * (1 - abs(column - near_column))
                total = total + share * level[near_row, near_column]
    return total


def test_sampling_is_the_sum_over_heads_levels_and_points(drawn: Draw) -> None:
    sizes, heads, points = [(3, 5), (2, 1)], 2, 3
    value, at = drawn(2, 17, heads, 4), drawn(2, 6, heads, 2, points, 2).sigmoid() * 1.6 - 0.3
    weights = drawn(2, 6, heads, 2, points)
    found = sample(value, sizes, at, weights)
    for image in range(2):
        levels = [value[image, :15].unflatten(0, (3, 5)), value[image, 15:].unflatten(0, (2, 1))]
        for query in range(6):
            for head in range(heads):
                expected = torch.zeros(4, dtype=torch.float64)
                for index, level in enumerate(levels):
                    for point in range(points):
                        x, y = at[image, query, head, index, point].tolist()
                        expected += weights[image, query, head, index, point] * bilinear(level[:, :, head], x, y)
                # grid_sample takes points to -1 … 1 and back: a rounding more than here, of points up to 1.3.
                error = (found[image, query, 4 * head : 4 * head + 4] - expected).abs().max()
                assert error <= 200 * EPS * value.abs().max() * weights.abs().sum()


def test_a_head_looks_around_its_box_in_a_direction_of_its_own_at_first(drawn: Draw) -> None:
    """Weights are even and offsets fixed, so four heads read a map of x and y to the right, below, left and above."""
    module = DeformableAttention(8, 4, 1, 2).double()
    with torch.no_grad():
        for layer in (module.value, module.output):
            layer.weight.copy_(torch.eye(8))
    rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    level = torch.stack([(columns + 0.5) / 64, (rows + 0.5) / 64], -1).double().repeat(1, 1, 4)  # x, y for each head
    memory = Memory.of([level.permute(2, 0, 1)[None]], [torch.zeros(1, 64, 64, dtype=torch.bool)])
    found = module(drawn(1, 1, 8), torch.tensor([[[0.5, 0.4, 0.2, 0.4]]]).double(), memory).unflatten(-1, (4, 2))[0, 0]
    # Points at 1/2 and 2/2 of half the box: 3/4 of it on average, along x 0.1 · 3/4, along y 0.2 · 3/4.
    expected = torch.tensor([[0.575, 0.4], [0.5, 0.55], [0.425, 0.4], [0.5, 0.25]]).double()
    # The directions are float32 cosines.
    assert (found - expected).abs().max() <= 8 * torch.finfo(torch.float32).eps


@torch.no_grad()
def test_what_lies_in_padding_is_never_read_by_the_neck(drawn: Draw) -> None:
    detector = small("vidt_micro")
    levels = [drawn(1, 64, side, side).float() for side in (8, 4, 2, 1)]
    paddings = [torch.zeros(1, side, side, dtype=torch.bool) for side in (8, 4, 2, 1)]
    for padding in paddings[:3]:
        padding[:, padding.shape[1] // 2 :] = True
    det, positions = drawn(1, 20, 64).float(), drawn(1, 20, 64).float()
    before = detector.neck(det, positions, Memory.of(levels, paddings))
    for level, padding in zip(levels, paddings, strict=True):
        level.masked_fill_(padding[:, None], 7.0)
    for found, expected in zip(detector.neck(det, positions, Memory.of(levels, paddings)), before, strict=True):
        assert torch.equal(found, expected)


@torch.no_grad()
def test_the_neck_gives_an_image_the_same_boxes_however_much_it_is_padded(drawn: Draw) -> None:
    """Levels of the image alone, and with as many places of padding again on the right and below."""
    detector = small("vidt_micro").double()
    levels = [drawn(1, 64, side, side) for side in (8, 4, 2, 1)]
    none = [torch.zeros(1, side, side, dtype=torch.bool) for side in (8, 4, 2, 1)]
    wider = [torch.nn.functional.pad(level, (0, level.shape[3], 0, level.shape[2]), value=7.0) for level in levels]
    more = [torch.nn.functional.pad(each, (0, each.shape[2], 0, each.shape[1]), value=True) for each in none]
    det, positions = drawn(1, 20, 64), drawn(1, 20, 64)
    alone = detector.neck(det, positions, Memory.of(levels, none))
    padded = detector.neck(det, positions, Memory.of(wider, more))
    for found, expected in zip(padded, alone, strict=True):
        assert (found - expected).abs().max() <= 1000 * EPS * expected.abs().max()  # as of the batch: two layers, heads


def test_positions_count_rows_and_columns_within_the_image() -> None:
    padding = torch.zeros(2, 4, 6, dtype=torch.bool)
    padding[1, 2:] = padding[1, :, 3:] = True
    found = sine_positions(padding, 8)
    for image, (height, width) in enumerate(((4, 6), (2, 3))):
        for row in range(height):
            for column in range(width):
                turns = [(row + 1) / height, (column + 1) / width]
                angles = [2 * math.pi * turn / slowness for turn in turns for slowness in (1, 100)]
                expected = torch.tensor([wave(angle) for angle in angles for wave in (math.sin, math.cos)])
                # The count is divided by itself + 1e-6, lest padding be divided by 0: 1e-6 of a turn, at most.
                assert (found[image, row, column] - expected).abs().max() <= 2e-6 * math.pi + 1e-6
    assert valid_ratios(padding).tolist() == [[1, 1], [0.5, 0.5]]


@torch.no_grad()
def test_a_merged_patch_is_its_four_column_by_column(drawn: Draw) -> None:
    merge, patches = Merge(2, 3).double(), drawn(1, 3, 4, 2)
    found = merge(patches)
    filled = torch.nn.functional.pad(patches, (0, 0, 0, 0, 0, 1))[0]
    for row in range(2):
        for column in range(2):
            four = [filled[2 * row + down, 2 * column + right] for right in range(2) for down in range(2)]
            expected = merge.reduce(merge.norm(torch.cat(four)))
            assert (found[0, row, column] - expected).abs().max() <= 50 * EPS * expected.abs().max()
    token = drawn(1, 5, 2)
    same = merge(token[:, :, None].repeat(1, 1, 2, 1).repeat_interleave(2, 1))
    assert (merge.spread(token)[0] - same[0, :, 0]).abs().max() <= 50 * EPS * same.abs().max()


def test_a_first_prediction_is_unsure_and_twelve_percent_of_the_image_wide() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        detector = build("vidt_micro", 5).eval()
    with torch.no_grad():
        found = detector(*batch((64, 64), size=(64, 64)))
    assert (found.boxes[0, ..., 2:] - 1 / (1 + math.exp(2))).abs().max() <= 8 * torch.finfo(torch.float32).eps
    assert found.logits.sigmoid().max() < 0.1


def test_a_dropped_block_leaves_an_image_as_it_was(drawn: Draw) -> None:
    config = PRESETS["vidt_micro"]
    detector = build("vidt_micro", 5)
    assert (config.drop_path, detector.body.stages[-1].blocks[-1].drop) == (0, 0)
    block = detector.body.stages[0].blocks[0].train()
    block.drop = 0.5
    patches, det = drawn(64, 4, 4, 16).float(), drawn(64, 20, 16).float()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        found, of_det = block(patches, det, torch.zeros(1, 20, 64), None)
    untouched = (found == patches).flatten(1).all(1)
    assert torch.equal(untouched, (of_det == det).flatten(1).all(1))
    # Both halves are left out for a quarter of the images: 16 ± 3.5 of 64; five deviations.
    assert 1 <= untouched.sum() <= 33
