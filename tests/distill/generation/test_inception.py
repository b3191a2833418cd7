"""FID's Inception: its file is checked and loaded, its pooling is TensorFlow's."""

import hashlib
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from distill.errors import ModelError
from distill.generation.inception import PUBLISHED_SHA256, Inception, untrained
from distill.task import seeded


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    with seeded(0):
        return untrained().state_dict()


@pytest.fixture(scope="module")
def file(state: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as the published one is laid out, without what batch norms count."""
    path = tmp_path_factory.mktemp("inception") / "random.pth"
    torch.save({key: value for key, value in state.items() if not key.endswith("batches_tracked")}, path)
    return path


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_file_with_the_right_hash_is_loaded_and_gives_features_and_logits(file: Path) -> None:
    inception = Inception(file, sha256=sha256(file))
    images = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        found = inception(images)
    assert (found.features.shape, found.logits.shape) == ((2, inception.dim), (2, 1008))
    # The logits are the last layer's without its bias; grey images are three equal channels at 299 pixels.
    resized = functional.interpolate(images.expand(-1, 3, -1, -1), size=(299, 299), mode="bilinear")
    with torch.no_grad():
        whole = inception.network(resized)
    assert torch.allclose(found.logits + inception.network.fc.bias, whole, rtol=2048 * torch.finfo(torch.float32).eps)
    assert not any(parameter.requires_grad for parameter in inception.parameters())


def test_another_file_is_refused_by_its_hash(file: Path) -> None:
    with pytest.raises(ModelError, match=f"expected SHA-256 {PUBLISHED_SHA256[:12]}…, got {sha256(file)[:12]}…; take"):
        Inception(file)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"can't be read .*; set metrics\.weights"):
        Inception(tmp_path / "nowhere.pth")


def test_the_published_hash_begins_as_the_published_file_is_named() -> None:
    assert PUBLISHED_SHA256.startswith("6726825d")
    assert len(PUBLISHED_SHA256) == 64


def test_weights_of_another_network_are_refused_by_their_keys(state: dict[str, Tensor], tmp_path: Path) -> None:
    spoilt = tmp_path / "spoilt.pth"
    torch.save({("head" if key == "fc.weight" else key): value for key, value in state.items()}, spoilt)
    with pytest.raises(ModelError, match=r"missing: fc\.weight; unexpected: head"):
        Inception(spoilt, sha256=sha256(spoilt))


def windows(images: Tensor, filling: float) -> Tensor:
    """Return every 3 × 3 neighbourhood, the outside filled: (batch, channels, height, width, 9)."""
    padded = functional.pad(images, (1, 1, 1, 1), value=filling)
    return padded.unfold(2, 3, 1).unfold(3, 3, 1).flatten(-2)


def test_pooling_branches_are_tensorflows(state: dict[str, Tensor]) -> None:
    network = untrained()
    network.load_state_dict(state)
    network.eval()
    for name, channels in (("Mixed_5b", 192), ("Mixed_6b", 768), ("Mixed_7b", 1280), ("Mixed_7c", 2048)):
        block: nn.Module = network.get_submodule(name)
        images = torch.randn(1, channels, 5, 5, generator=torch.Generator().manual_seed(0))
        if name == "Mixed_7c":
            pooled = windows(images, -torch.inf).amax(-1)
        else:
            pooled = windows(images, 0).sum(-1) / windows(torch.ones_like(images), 0).sum(-1)
        with torch.no_grad():
            expected, found = block.get_submodule("branch_pool")(pooled), block(images)
        # Sums of 9 values, then of `channels`, in another order.
        assert torch.allclose(found[:, -expected.shape[1] :], expected, atol=channels * 1e-7)
