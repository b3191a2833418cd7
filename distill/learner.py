"""One player of a task with its optimiser: the forward and backward passes and the update of a turn."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

import stiefel
from distill.config import Optimiser
from distill.processes import Processes
from distill.task import Player


class Learner:
    """A player, set up for the processes of a run.

    probe: a loss of the player's module, if it plays alone: then DDP averages its gradients while the backward pass
    runs. One of several players has them averaged after it.
    """

    def __init__(
        self,
        player: Player,
        settings: Optimiser,
        processes: Processes,
        *,
        undecayed: Sequence[nn.Parameter] = (),
        probe: Callable[[], Tensor] | None = None,
        compiled: bool = False,
    ):
        self.player, self.settings, self.processes = player, settings, processes
        built = stiefel.optim.build(
            player.trained,
            settings.name,
            lr=settings.lr,
            weight_decay=settings.weight_decay,
            betas=(settings.beta1, settings.beta2),
            undecayed=undecayed,
        )
        self._peaks = [group["lr"] for group in built.param_groups]
        self._is_alone = probe is not None
        if probe is not None:
            self._module, self.optimiser = processes.setup(player.module, built, probe, compiled=compiled)
        else:
            self._module, self.optimiser = processes.setup_player(player.module, built)

    def set_rate(self, factor: float) -> None:
        """Set the learning rates to a share of their peaks."""
        for group, peak in zip(self.optimiser.param_groups, self._peaks, strict=True):
            group["lr"] = peak * factor

    def backward(self, batch: dict[str, Tensor], count: int) -> dict[str, Tensor]:
        """Set the gradients to those of a batch, worked off in `count` parts; return the mean losses."""
        self.optimiser.zero_grad()
        totals: dict[str, Tensor] = {}
        for index, part in enumerate(split(batch, count, self.processes.device)):
            with self.processes.gathering(self._module, is_last=not self._is_alone or index == count - 1):
                losses = self._module(part)
                self.processes.backward(losses["loss"] / count)
            for name, value in losses.items():
                totals[name] = totals.get(name, 0) + value.detach().float() / count
        if not self._is_alone:
            self.processes.align(self.player.trained)
        return totals

    def update(self) -> None:
        """Clip the gradients and take the optimiser's step."""
        if self.settings.clip_norm > 0:
            self.processes.clip(self.player.trained, self.optimiser, self.settings.clip_norm)
        self.optimiser.step()


def split(batch: dict[str, Tensor], count: int, device: torch.device) -> list[dict[str, Tensor]]:
    """Return a batch on a device in `count` parts."""
    parts = {name: value.to(device, non_blocking=True).chunk(count) for name, value in batch.items()}
    return [{name: chunks[index] for name, chunks in parts.items()} for index in range(count)]
