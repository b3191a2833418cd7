"""What a detector's tokens learn from its teacher's: VkD's projections of all six kinds, or ViDT's token matching."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from distill import projector as projectors
from distill.detection.models import Detections, Detector
from distill.errors import WidthError

# A layer norm's; the released code divides by the deviation alone, and a channel that is constant gives NaN.
_EPS = 1e-5


def kinds(found: Detections) -> list[tuple[Float[Tensor, "tokens dim"], Bool[Tensor, "tokens"]]]:
    """Return a detector's tokens by their kind, with which of them lie inside an image.

    The four levels' patches, [DET] tokens of the body, [DET] tokens of the neck, all predictions' together.
    """
    patches = [
        (level.flatten(2).mT.flatten(0, 1), ~padding.flatten())
        for level, padding in zip(found.levels, found.level_padding, strict=True)
    ]
    tokens = [found.body_tokens.flatten(0, -2), found.neck_tokens.flatten(0, -2)]
    return [*patches, *((each, each.new_ones(len(each), dtype=torch.bool)) for each in tokens)]


class Projected(nn.Module):
    """Σ over the six kinds of smooth_l1(standardise(student · P), standardise(teacher)), a projector a kind.

    Both sides are standardised a channel, over all tokens of the batch that lie inside their images. affine: a learned
    scale and bias a channel after that, from 1 and 0. The released code has them before, where the standardisation
    takes them out again, so that they are never trained: its function is the one without.
    Source: Miles et al., "VkD", CVPR 2024, and its code.
    """

    def __init__(self, student: Detector, teacher: Detector, *, projector: str, by: str, is_affine: bool):
        super().__init__()
        count = len(KINDS)
        widths = (student.token_dim, teacher.token_dim)
        self.projectors = projectors.build_several(projector, count, *widths, by=by)
        self.scales = nn.Parameter(torch.ones(count, teacher.token_dim)) if is_affine else None
        self.biases = nn.Parameter(torch.zeros(count, teacher.token_dim)) if is_affine else None

    def affine(self) -> list[nn.Parameter]:
        """Return the learned scales and biases: no matrices, so without decay."""
        return [each for each in (self.scales, self.biases) if each is not None]

    def forward(self, student: Detections, teacher: Detections) -> Float[Tensor, ""]:
        losses = []
        owns, *others = zip(*_pairs(student, teacher), strict=True)
        for place, (projected, wanted, is_inside) in enumerate(zip(self.projectors(owns), *others, strict=True)):
            found = standardise(projected.float(), is_inside)
            if self.scales is not None and self.biases is not None:
                found = found * self.scales[place] + self.biases[place]
            target = standardise(wanted.float(), is_inside)
            losses.append(_mean(functional.smooth_l1_loss(found, target, reduction="none").mean(-1), is_inside))
        return torch.stack(losses).sum()


class TokenMatching(nn.Module):
    """√(Σ of mean distances ‖student's token − teacher's‖ over the four levels, the body, and `layers` · the neck).

    The published baseline: one square root over the sum, and the mean over all of the neck's tokens times the number
    of its predictions. Tokens in the padding are left out, which the published code takes in.
    Source: Song et al., "ViDT", ICLR 2022, and its code.
    """

    def __init__(self, student: Detector, teacher: Detector):
        super().__init__()
        if student.token_dim != teacher.token_dim:
            expected = f"tokens as wide as the teacher's, {teacher.token_dim}"
            raise WidthError("token matching", expected, [student.token_dim])

    def forward(self, student: Detections, teacher: Detections) -> Float[Tensor, ""]:
        distances = [
            # The gradient of a distance of exactly 0 is 0, where a bare square root's is NaN.
            _mean(torch.linalg.vector_norm(own.float() - wanted.float(), dim=-1), is_inside)
            for own, wanted, is_inside in _pairs(student, teacher)
        ]
        distances[-1] = distances[-1] * len(student.neck_tokens)
        return torch.stack(distances).sum().sqrt()


KINDS = ("level 1", "level 2", "level 3", "level 4", "body", "neck")


def standardise(tokens: Float[Tensor, "tokens dim"], is_inside: Bool[Tensor, "tokens"]) -> Float[Tensor, "tokens dim"]:
    """Return tokens with mean 0 and deviation 1 a channel over those inside; the others come along."""
    weight = is_inside[:, None].to(tokens.dtype)
    count = weight.sum()
    centred = tokens - (tokens * weight).sum(0) / count
    variance = (centred.square() * weight).sum(0) / (count - 1).clamp(min=1)
    return centred * (variance + _EPS).rsqrt()


def check_pair(student: Detector, teacher: Detector) -> None:
    """Check that each of the student's tokens has one of the teacher's to learn from.

    Raises: WidthError.
    """
    if student.queries != teacher.queries:
        raise WidthError("distillation", f"{teacher.queries} queries, the teacher's", [student.queries])
    if student.stride != teacher.stride:
        expected = f"a finest level with a place every {teacher.stride} pixels, the teacher's"
        raise WidthError("distillation", expected, [student.stride])


def _pairs(student: Detections, teacher: Detections) -> Sequence[tuple[Tensor, Tensor, Tensor]]:
    """Return (student's tokens, teacher's, which are inside) of each kind; the teacher gets no gradient."""
    both = zip(kinds(student), kinds(teacher), strict=True)
    return [(own, wanted.detach(), is_inside & theirs) for (own, is_inside), (wanted, theirs) in both]


def _mean(values: Float[Tensor, "tokens"], is_inside: Bool[Tensor, "tokens"]) -> Float[Tensor, ""]:
    return (values * is_inside).sum() / is_inside.sum().clamp(min=1)
