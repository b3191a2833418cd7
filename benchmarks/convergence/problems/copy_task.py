"""The copy task of recurrent networks: an orthogonal transition has to hold symbols and give them back later."""

import itertools
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from benchmarks.convergence.matrices import basis
from benchmarks.convergence.problem import Problem, shuffled
from stiefel.errors import ShapeError

SYMBOLS, LENGTH, BATCH = 3, 4, 27


class CopyTask(Problem):
    """½ mean ‖W·h_t − y_t‖² of h_t = X·h_{t−1} + V·x_t: the output repeats the input DELAY steps later, X square.

    V writes to a SYMBOLS-dimensional space and W reads from another, both fixed. With n = SYMBOLS·(DELAY + 1) units
    the X that shifts blocks of units along, hidden behind a random basis, makes the loss exactly 0.
    Source: Arjovsky, Shah & Bengio 2016 (the task); the network is the linear one that solves it.
    """

    shape_name = "an orthogonal recurrent network (copy task)"
    default = (12, 12)
    is_stochastic = True

    def __init__(self, n: int, p: int):
        if n != p or n % SYMBOLS or n < 2 * SYMBOLS:
            raise ShapeError("copy task", f"n x n, n a multiple of {SYMBOLS}", (n, p), cure="write e.g. 12x12")
        super().__init__(n, p)
        self.delay = n // SYMBOLS - 1
        hidden = basis(n, n)
        self.write, self.read = hidden[:, :SYMBOLS], hidden[:, -SYMBOLS:].T
        shift = torch.eye(n, dtype=torch.float64).roll(SYMBOLS, 0)
        self.solution = hidden @ shift @ hidden.T
        words = torch.tensor(list(itertools.product(range(SYMBOLS), repeat=LENGTH)))
        said = functional.one_hot(words, SYMBOLS).double()
        silence = torch.zeros(len(words), self.delay, SYMBOLS, dtype=torch.float64)
        self.inputs = torch.cat([said, silence], 1)  # (words, time, symbols)
        self.targets = torch.cat([silence, said], 1)

    def loss(self, point: Float[Tensor, "n p"], batch: Tensor | None = None) -> Float[Tensor, ""]:
        chosen = slice(None) if batch is None else batch
        inputs, targets = self.inputs[chosen], self.targets[chosen]
        state = inputs[:, 0] @ self.write.T
        error = (state @ self.read.T - targets[:, 0]).square().sum()
        for t in range(1, inputs.shape[1]):
            state = state @ point.T + inputs[:, t] @ self.write.T
            error = error + (state @ self.read.T - targets[:, t]).square().sum()
        return error / (2 * LENGTH * len(inputs))

    def minimiser(self) -> Float[Tensor, "n p"]:
        return self.solution

    def batches(self, seed: int) -> Iterator[Tensor | None]:
        return shuffled(len(self.inputs), BATCH, seed)
