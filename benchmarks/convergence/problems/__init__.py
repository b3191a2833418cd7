"""THE REGISTRY of problems, one line each; `pca` is one at its default shape, `pca:200x10` at another."""

import re
from importlib import import_module

from benchmarks.convergence.problem import Problem
from stiefel.errors import ShapeError, UnknownNameError

PROBLEMS: dict[str, str] = {
    "pca": "PCA",
    "brockett": "Brockett",
    "procrustes": "Procrustes",
    "joint_diagonalisation": "JointDiagonalisation",
    "streaming_pca": "StreamingPCA",
    "sparse_pca": "SparsePCA",
    "copy_task": "CopyTask",
    "digits_cnn": "DigitsCNN",
    "vkd_projector": "VkDProjector",
}


def get(name: str) -> type[Problem]:
    """Return the class registered as `name`.

    Raises: UnknownNameError with the valid names.
    """
    if name not in PROBLEMS:
        raise UnknownNameError("problem", name, PROBLEMS)
    return getattr(import_module(f"{__name__}.{name}"), PROBLEMS[name])


def build(text: str) -> Problem:
    """Return the problem that `text` names: NAME, or NAME:NxP.

    Raises: UnknownNameError; ShapeError.
    """
    name, _, shape = text.partition(":")
    found = get(name)
    if not shape:
        return found(*found.default)
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", shape)
    if match is None or int(match[1]) < int(match[2]):
        sizes = [int(size) for size in re.findall(r"\d+", shape)]
        raise ShapeError("problem", "NxP with N >= P >= 1", sizes, cure="write e.g. pca:200x10")
    return found(int(match[1]), int(match[2]))
