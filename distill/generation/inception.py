"""The Inception network that FID is defined in, from its published state dict on disk; nothing is downloaded.

Its layout is torchvision's Inception v3 with 1008 classes, no auxiliary head, average pooling that doesn't count the
padding, and a maximum instead of an average in the last block (TensorFlow's graph of 2015-12-05).
"""

import hashlib
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from distill import extras
from distill.errors import ModelError
from distill.generation.extractors import Extracted, Extractor
from distill.models.weights import load_weights, read_weights

# pt_inception-2015-12-05-6726825d.pth, 95 628 359 bytes, of github.com/mseitzer/pytorch-fid's release "fid_weights".
PUBLISHED_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
_SIZE, _CLASSES, _DIM = 299, 1008, 2048
# The blocks whose pooling branch isn't torchvision's, and how they pool.
_AVERAGED = ("Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e", "Mixed_7b")
_MAXIMAL = ("Mixed_7c",)


class Inception(Extractor):
    """FID's features: 2048 pooled channels; its logits leave out the last layer's bias, as the Inception Score does.

    Images are resized to 299 × 299 bilinearly without antialiasing, as pytorch-fid does; clean-fid's and TensorFlow's
    resizing give other numbers.

    weights: the published file. sha256: what its content must hash to.
    Raises: ModelError for a file that can't be read, isn't the published one or doesn't fit; MissingExtraError
    without torchvision.
    """

    label, dim = "FID", _DIM

    def __init__(self, weights: Path | str, *, sha256: str = PUBLISHED_SHA256):
        super().__init__()
        self.network = untrained()
        check_sha256(Path(weights), sha256)
        # How many batches a batch norm has seen has no effect here, and files of old don't say it.
        counts = {key: value for key, value in self.network.state_dict().items() if key.endswith("batches_tracked")}
        load_weights("inception", self.network, {**counts, **read_weights(Path(weights))}, str(weights))
        self.eval().requires_grad_(False)

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Extracted:
        if images.shape[1] == 1:
            images = images.expand(-1, 3, -1, -1)
        resized = functional.interpolate(images, size=(_SIZE, _SIZE), mode="bilinear", align_corners=False)
        seen: list[Tensor] = []
        hook = self.network.avgpool.register_forward_hook(lambda module, inputs, output: seen.append(output))
        try:
            self.network(resized)
        finally:
            hook.remove()
        features = seen[0].flatten(1)
        return Extracted(features, features @ self.network.fc.weight.T)


def untrained() -> Any:
    """Return FID's Inception with torchvision's random weights.

    Raises: MissingExtraError without torchvision.
    """
    inception = extras.load("torchvision.models.inception", needed_by="FID's Inception")
    network = inception.Inception3(num_classes=_CLASSES, aux_logits=False, transform_input=False, init_weights=False)
    for names, pool in ((_AVERAGED, _average), (_MAXIMAL, _maximum)):
        for name in names:
            _replace_pooling(network.get_submodule(name), pool)
    return network


def check_sha256(file: Path, expected: str) -> None:
    """Check a file's content.

    Raises: ModelError if it can't be read or hashes to something else.
    """
    try:
        with file.open("rb") as opened:
            found = hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(str(file), f"it can't be read ({error})", cure="set metrics.weights to the file") from error
    if found != expected:
        reason = f"expected SHA-256 {expected[:12]}…, got {found[:12]}…"
        raise ModelError(str(file), reason, cure="take pt_inception-2015-12-05-6726825d.pth of pytorch-fid's release")


def _replace_pooling(block: Any, pool: Any) -> None:
    """Let a block's pooling branch, the last one that is concatenated, pool by `pool`."""
    branches = block._forward

    def forward(images: Tensor) -> list[Tensor]:
        # The branch's own 1 × 1 convolution runs twice; it is a few hundredths of the network.
        return [*branches(images)[:-1], block.branch_pool(pool(images))]

    block._forward = forward


def _average(images: Tensor) -> Tensor:
    return functional.avg_pool2d(images, 3, stride=1, padding=1, count_include_pad=False)


def _maximum(images: Tensor) -> Tensor:
    return functional.max_pool2d(images, 3, stride=1, padding=1)
