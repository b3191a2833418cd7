"""Data sets by name; each is one file and one line here."""

from collections.abc import Callable

from distill.config import Data
from distill.data.digits import load_digits
from distill.data.images import Images
from distill.errors import RecipeError

DATASETS: dict[str, Callable[[], tuple[Images, Images]]] = {
    "digits": load_digits,
}


def load(data: Data) -> tuple[Images, Images]:
    """Return the (training, test) images of a data set.

    Raises: RecipeError with the valid names.
    """
    if data.name not in DATASETS:
        raise RecipeError("data.name", f"one of {', '.join(DATASETS)}", data.name)
    return DATASETS[data.name]()
