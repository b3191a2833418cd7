"""Symmetric matrices whose spectrum is what it is said to be."""

import torch
from jaxtyping import Float
from torch import Tensor

import stiefel
from benchmarks.convergence.problem import generator


def basis(n: int, p: int) -> Float[Tensor, "n p"]:
    """Return the orthonormal columns that problems of this shape share, in float64."""
    return stiefel.random_point(n, p, dtype=torch.float64, generator=generator(0, 2))


def with_spectrum(vectors: Float[Tensor, "n n"], values: Float[Tensor, " n"]) -> Float[Tensor, "n n"]:
    """Return Q·D·Qᵀ, symmetric to the last bit. (Q·D·Q, found in published benchmarks, has another spectrum.)"""
    matrix = vectors * values @ vectors.T
    return (matrix + matrix.T) / 2
