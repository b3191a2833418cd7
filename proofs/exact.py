"""XᵀX − I in exact integers: slow, and no rounding to bound.

Needs python-flint, of the `proofs` extra.
"""

import numpy as np
from jaxtyping import Float

from stiefel.bounds import SUBNORMAL, UNIT, Enclosure
from stiefel.errors import MissingExtraError

try:
    import flint
except ModuleNotFoundError as error:
    raise MissingExtraError("exact arithmetic", "python-flint", extra="proofs") from error

ARITHMETIC = "exact integers"


def exact_defect(matrix: Float[np.ndarray, "n p"]) -> tuple[list[list[int]], int]:
    """Return integers G and e with XᵀX − I = G·2^-e, as every float is an integer over a power of two.

    Cost: 1.3 s for a 512 × 512 float64 matrix on one core; more where the exponents of the entries spread.
    """
    ratios = [[value.as_integer_ratio() for value in row] for row in matrix.tolist()]
    shift = max(denominator.bit_length() - 1 for row in ratios for _, denominator in row)
    numerators = flint.fmpz_mat([[top * (1 << shift) // bottom for top, bottom in row] for row in ratios])
    defect = [[int(value) for value in row] for row in (numerators.transpose() * numerators).tolist()]
    for index, row in enumerate(defect):
        row[index] -= 1 << (2 * shift)
    return defect, 2 * shift


def enclose_exactly(matrix: Float[np.ndarray, "n p"]) -> Enclosure:
    """Return the enclosure of XᵀX − I whose centre is the exact matrix, each entry rounded to a float64."""
    defect, shift = exact_defect(matrix)
    # Python divides integers with one rounding, also into the subnormal numbers.
    centre = np.array([[value / (1 << shift) for value in row] for row in defect])
    is_zero = np.array([[value == 0 for value in row] for row in defect])
    return Enclosure(centre, np.where(is_zero, 0.0, 2 * UNIT * np.abs(centre) + SUBNORMAL))
