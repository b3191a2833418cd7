"""How good, and how various, generated images are: distances between sets of features.

figures = judge(extractor, real, fake, keys)   # real, fake: batches of images in −1 … 1
Fréchet distance, KID and Inception Score are torchmetrics'; precision and recall, which it lacks, are ours.
"""

import warnings
from collections.abc import Iterable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from distill import extras
from distill.errors import MetricError
from distill.generation.config import Metrics
from distill.generation.extractors import Extractor, extract
from distill.spectrum import effective_rank, spectrum
from distill.task import seeded

_SPLITS = 10  # of the Inception Score, as Salimans et al. have it
_KID_SUBSETS, _KID_DRAWS, _KID_SIZE = 100, 10, 1000
_SUBSETS_SEED = 0
_LEAST = 2 * _SPLITS
_ROWS = 1000  # of a block of distances; it bounds memory and changes no result


def judge(extractor: Extractor, real: Iterable[Tensor], fake: Iterable[Tensor], keys: Metrics) -> dict[str, float]:
    """Return every metric of generated against real images, and how many of each were seen.

    fid: the Fréchet distance in the extractor's features; what they are, `extractor.label` says, and only Inception's
    is called FID anywhere. kid. inception_score: exp of the mutual information of image and class, of the extractor's
    classes. precision, recall. diversity: mean distance of two samples, and diversity_real of two real images.
    effective_rank, effective_rank_real: of the features' covariance.

    Raises: MetricError for fewer than 20 images; MissingExtraError without torchmetrics.
    """
    known, made = (extract(extractor, images, keys.samples) for images in (real, fake))
    check_counts(len(known.features), len(made.features), keys)
    precision, recall = precision_recall(known.features, made.features, neighbours=keys.neighbours)
    return {
        "fid": frechet_distance(known.features, made.features),
        "kid": kernel_distance(known.features, made.features),
        "inception_score": inception_score(made.logits),
        "precision": precision,
        "recall": recall,
        "diversity": diversity(made.features),
        "diversity_real": diversity(known.features),
        "effective_rank": effective_rank(spectrum(made.features)),
        "effective_rank_real": effective_rank(spectrum(known.features)),
        "samples": len(made.features),
        "samples_real": len(known.features),
    }


def check_counts(real: int, fake: int, keys: Metrics) -> None:
    """Check that so many images can be judged.

    Raises: MetricError.
    """
    least = max(_LEAST, keys.neighbours + 2)
    for what, count in (("real", real), ("generated", fake)):
        if count < least:
            raise MetricError(f"{least} {what} images or more", count)


def frechet_distance(real: Float[Tensor, "n dim"], fake: Float[Tensor, "m dim"]) -> float:
    """Return ‖μ − μ'‖² + tr(C + C' − 2·(C·C')^½), the squared 2-Wasserstein distance of two Gaussians.

    In float64. It grows as samples become fewer: compare numbers of equal counts alone.
    Source: Heusel et al., "GANs trained by a two time-scale update rule", NeurIPS 2017.
    """
    fid = extras.load("torchmetrics.image.fid", needed_by="fid")
    metric = fid.FrechetInceptionDistance(feature=_Given(real.shape[1]), sync_on_compute=False)
    metric.update(real.double(), real=True)
    metric.update(fake.double(), real=False)
    return float(metric.compute())


def kernel_distance(real: Float[Tensor, "n dim"], fake: Float[Tensor, "m dim"]) -> float:
    """Return KID: the squared maximum mean discrepancy by the cubic kernel, the mean over subsets of up to 1000.

    Each image is drawn ten times on average, in 100 subsets at most: as published for 10 000. Unbiased, and so below
    0 now and then.
    Source: Bińkowski et al., "Demystifying MMD GANs", ICLR 2018.
    """
    kid = extras.load("torchmetrics.image.kid", needed_by="kid")
    size = min(_KID_SIZE, len(real), len(fake))
    subsets = min(_KID_SUBSETS, _KID_DRAWS * max(len(real), len(fake)) // size)
    with warnings.catch_warnings(), seeded(_SUBSETS_SEED):  # the subsets are drawn from torch's own generator
        warnings.simplefilter("ignore", UserWarning)  # that it keeps all features, which are here already
        # Only the first process judges: a metric that waited for the others would wait for ever.
        metric = kid.KernelInceptionDistance(
            feature=_Given(real.shape[1]), subsets=subsets, subset_size=size, sync_on_compute=False
        )
        metric.update(real.double(), real=True)
        metric.update(fake.double(), real=False)
        return float(metric.compute()[0])


def inception_score(logits: Float[Tensor, "n classes"]) -> float:
    """Return exp(E KL(p(y|x) ‖ p(y))), the mean over ten splits: between 1 and the number of classes.

    Source: Salimans et al., "Improved techniques for training GANs", NeurIPS 2016.
    """
    inception = extras.load("torchmetrics.image.inception", needed_by="inception score")
    with warnings.catch_warnings(), seeded(_SUBSETS_SEED):
        warnings.simplefilter("ignore", UserWarning)
        metric = inception.InceptionScore(feature=_Given(logits.shape[1]), splits=_SPLITS, sync_on_compute=False)
        metric.update(logits.double())
        return float(metric.compute()[0])


def precision_recall(
    real: Float[Tensor, "n dim"], fake: Float[Tensor, "m dim"], *, neighbours: int
) -> tuple[float, float]:
    """Return (share of fakes inside the real images' support, share of real images inside the fakes').

    The support is a union of balls, a point's reaching to its k-th neighbour of its own set.
    Cost: n² + m² + 2·n·m distances, computed in blocks.
    Source: Kynkäänniemi et al., "Improved precision and recall metric for assessing generative models", NeurIPS 2019.
    """
    return (
        float(_inside(fake, real, neighbours).double().mean()),
        float(_inside(real, fake, neighbours).double().mean()),
    )


def diversity(features: Float[Tensor, "n dim"]) -> float:
    """Return the mean distance of two different samples' features of unit length: 0 where all are the same.

    As LPIPS, unit-normalised features, but pooled ones and without learned weights.
    Cost: n² distances, computed in blocks.
    """
    unit = functional.normalize(features.double())
    total = sum(float(torch.cdist(block, unit).sum()) for block in unit.split(_ROWS))
    return total / (len(unit) * (len(unit) - 1))


def _inside(points: Tensor, support: Tensor, neighbours: int) -> Bool[Tensor, "n"]:
    centre = support.double().mean(0)
    points, support = points.double() - centre, support.double() - centre
    # What products of float64 round off a squared distance: a copy at distance 0 stays inside a ball of radius 0.
    largest = torch.stack([points.pow(2).sum(1).max(), support.pow(2).sum(1).max()]).max()
    slack = 4 * points.shape[1] * torch.finfo(torch.float64).eps * largest
    # A point is its own nearest neighbour, so its k-th is the k + 1-th smallest distance.
    blocks = (_squared_distances(block, support) for block in support.split(_ROWS))
    radii = torch.cat([block.kthvalue(neighbours + 1, dim=1).values for block in blocks]) + 2 * slack
    return torch.cat([(_squared_distances(block, support) <= radii).any(1) for block in points.split(_ROWS)])


def _squared_distances(one: Tensor, other: Tensor) -> Tensor:
    # By products: 2000 against 2000 images at 512 channels take 1.6 s where difference by difference takes 23.
    return one.pow(2).sum(1)[:, None] + other.pow(2).sum(1) - 2 * one @ other.T


class _Given(nn.Module):
    """Stands for torchmetrics' extractor where features are given instead of images. num_features: their width."""

    def __init__(self, dim: int):
        super().__init__()
        self.num_features = dim

    def forward(self, features: Float[Tensor, "n dim"]) -> Float[Tensor, "n dim"]:
        return features
