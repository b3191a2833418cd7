"""Settings of every test: hypothesis profiles, one thread, and a way to run without the shape checker."""

import os
from collections.abc import Iterator

import jaxtyping
import pytest
import torch
from hypothesis import settings

from proofs.profiles import PROFILES

for name, profile in PROFILES.items():
    settings.register_profile(name, max_examples=profile.examples, derandomize=profile.derandomize, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

# Matrices here are small: a second thread costs more than it brings, and two test processes share the cores.
torch.set_num_threads(1)


@pytest.fixture
def unchecked_shapes() -> Iterator[None]:
    """Run as users do, without the tests' shape checker: wrong input then meets our own errors."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
