"""A device's sheet: what `distill.budget.model` must know of a device to predict a step's time on it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from distill.errors import RecipeFileError

PRODUCT, CONVOLUTION, ATTENTION, ENTRYWISE, SPECIAL, VIEW = (
    *("product", "convolution", "attention"),
    *("entrywise", "special", "view"),
)
FACTORISATIONS = ("cholesky", "lu", "inverse", "triangular_solve", "qr", "eigh", "svd")


@dataclass(frozen=True)
class Factorisation:
    """A p × p factorisation takes p · column_s, its columns being done one after another, and flops / rate."""

    column_s: float
    rate: float


@dataclass(frozen=True)
class Sheet:
    """A device, in SI units: flops a second, bytes a second, seconds, bytes.

    rate: of a large product, for each dtype. efficiency: the share of it that a large product, a convolution and
    attention reach. half: products, and attention, whose least dimension is this reach half of that. tile, units: a
    product is cut into tiles of tile × tile × 4·tile, each done by one of `units`. tiny: the rate of a batch of
    products with fewer than 400 multiplications each, which a CPU does in a plain loop. bandwidth: of memory;
    cache_bandwidth: of what fits `cache` bytes. special: entries a second of exp, softmax, a norm over channels, or a
    copy out of order. launch_s: added to every operator; view_s: all that a view takes. cold: how much longer all
    of this takes within a step, whose every operator finds caches that another one left. fused: entrywise operators of
    one kind that the optimiser launches together. memory: in all.
    """

    name: str
    source: str
    rate: Mapping[str, float]
    efficiency: Mapping[str, float]
    half: Mapping[str, float]
    tile: int
    units: int
    tiny: float
    bandwidth: float
    cache_bandwidth: float
    cache: float
    special: float
    launch_s: float
    view_s: float
    cold: float
    fused: int
    memory: float
    factorisations: Mapping[str, Factorisation]


# Published: rates, bandwidth, units and memory. Assumed: the efficiencies, a launch, and all of the factorisations. For
# those, cuSOLVER took 109 us for Cholesky at p = 128 and 376 at 512 (pytorch#173515), 1.8 ms for eigh at p = 100
# (pytorch#174674), 15.6 ms for LU in float64 at 1024 (pytorch#56887), each on another card: a figure that hangs on them
# is good to a factor of about two. Launches: a host that keeps up with 200 000 operators a second.
V100 = Sheet(
    name="Tesla V100-SXM2-16GB",
    source="NVIDIA Tesla V100 GPU Architecture, WP-08608-001: 15.7 TFLOP/s float32, 7.8 float64, 125 float16 in tensor "
    "cores, 900 GB/s HBM2, 80 SMs; it has no bfloat16, which is counted at float32's rate",
    rate={"float32": 15.7e12, "float64": 7.8e12, "float16": 125e12, "bfloat16": 15.7e12},
    efficiency={PRODUCT: 0.8, CONVOLUTION: 0.6, ATTENTION: 0.4},
    half={PRODUCT: 16, ATTENTION: 16},
    tile=64,
    units=80,
    tiny=1e12,
    bandwidth=0.8 * 900e9,
    cache_bandwidth=0.8 * 900e9,
    cache=0,
    special=1e12,
    launch_s=5e-6,
    view_s=0.0,
    cold=1.0,
    fused=64,
    memory=16e9,
    factorisations={
        "cholesky": Factorisation(0.8e-6, 4e12),
        "lu": Factorisation(6e-6, 4e12),
        "inverse": Factorisation(8e-6, 4e12),
        "triangular_solve": Factorisation(0.5e-6, 4e12),
        "qr": Factorisation(6e-6, 4e12),
        "eigh": Factorisation(18e-6, 2e12),
        "svd": Factorisation(50e-6, 2e12),
    },
)


def as_json(sheet: Sheet) -> dict[str, object]:
    """Return what `read` takes back out of a file, under the key "sheet"."""
    return asdict(sheet)


def read(path: Path) -> Sheet:
    """Return the sheet that `distill budget calibrate --out` wrote.

    Raises: RecipeFileError.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))["sheet"]
        factorisations = {name: Factorisation(**each) for name, each in content.pop("factorisations").items()}
        return Sheet(**content, factorisations=factorisations)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecipeFileError(
            path, f"it holds no sheet ({error})", cure="write one by distill budget calibrate"
        ) from error
