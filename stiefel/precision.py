"""Products in full float32, whatever the process allows elsewhere: TF32 keeps 10 bits of float32's 23, bfloat16 7."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Run float32 products on `device` as IEEE's, and without autocast.

    Both are set for speed elsewhere: `torch.set_float32_matmul_precision("high")` and autocast would cost an
    orthogonality error of 1e-3 and 1e-2. Inside a compiled graph only autocast can be switched: compile with
    "highest" there. Cost 5 µs.
    """
    with torch.autocast(device.type, enabled=False):
        if torch.compiler.is_compiling():
            yield
            return
        backend = torch.backends.cuda if device.type == "cuda" else torch.backends.mkldnn
        products = backend.matmul  # pyright: ignore[reportAttributeAccessIssue]
        outside = products.fp32_precision
        if outside in ("none", "ieee"):
            yield
            return
        products.fp32_precision = "ieee"
        try:
            yield
        finally:
            products.fp32_precision = outside
