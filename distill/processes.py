"""The processes of a run, each with a device of its own: the one place that knows Lightning Fabric.

One process by default. `devices: 2` starts the second by itself; under torchrun or SLURM the processes are there
already, and their number is taken from them.
"""

import logging
import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, nn

_PRECISIONS = {"float32": "32-true", "bfloat16": "bf16-mixed", "float16": "16-mixed"}
# The other processes wait while the first one trains a small teacher or evaluates; torch's half an hour is too short.
_PATIENCE = timedelta(hours=12)


class Processes:
    """The processes that train one module together, every step on a slice each of the very same batch.

    rank: 0 … world − 1. device: this process's. Batch norm and `logsum` take their statistics from a process's own
    slice; everything else is what one process computes, to rounding. is_alone: whatever launcher started this process.
    """

    def __init__(self, *, device: str = "cpu", devices: int = 1, precision: str = "float32", is_alone: bool = False):
        # Its import takes as long as torch's own, 1.4 s: only runs pay for it, no `--help`.
        from lightning_fabric import Fabric
        from lightning_fabric.strategies.ddp import DDPStrategy

        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it announces each process and each precision
        kind, _, index = device.partition(":")
        count, nodes = (devices, 1) if is_alone else _found() or (devices, 1)
        is_many = count * nodes > 1
        self.fabric = Fabric(
            accelerator=kind,
            devices=[int(index)] if index and not is_many else count,
            num_nodes=nodes,
            strategy=DDPStrategy(timeout=_PATIENCE) if is_many else "auto",
            precision=_PRECISIONS[precision],  # pyright: ignore[reportArgumentType]
        )

    def launch(self) -> None:
        """Start the other processes, if nobody has, and wait until all are there."""
        self.fabric.launch()

    @property
    def rank(self) -> int:
        """This process's number."""
        return self.fabric.global_rank

    @property
    def world(self) -> int:
        """How many processes there are."""
        return self.fabric.world_size

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes files."""
        return self.rank == 0

    @property
    def device(self) -> torch.device:
        """The device of this process."""
        return self.fabric.device

    def first(self, action: Callable[[], Any]) -> Any:
        """Return what `action` returns in the first process, in all; where it raises, the others leave quietly."""
        result, is_done = None, True
        if self.is_first:
            try:
                result = action()
            except BaseException:
                self.fabric.broadcast((None, False))
                raise
        result, is_done = self.fabric.broadcast((result, is_done))
        if not is_done:
            sys.exit(2)
        return result

    def setup(
        self, module: nn.Module, optimiser: torch.optim.Optimizer, probe: Callable[[], Tensor], *, compiled: bool
    ) -> tuple[Any, Any]:
        """Return the module, run in the run's precision with gradients averaged over processes, and its optimiser.

        probe: a loss, by which parameters that a method leaves without a gradient are found, such as a second head's.
        DDP waits for every gradient unless told; looking for them in every step costs a walk through the graph.
        """
        if self.world > 1:
            module._ddp_params_and_buffers_to_ignore = _without_gradient(module, probe)  # pyright: ignore
        forward: Any = torch.compile(module) if compiled else module
        return self.fabric.setup(forward, optimiser)

    def setup_player(self, module: nn.Module, optimiser: torch.optim.Optimizer) -> tuple[Any, Any]:
        """Return one of several players in the run's precision, and its optimiser; `align` averages its gradients.

        DDP expects one backward pass through each parameter, and a penalty on gradients makes two.
        """

        def forward(batch: dict[str, Tensor]) -> dict[str, Tensor]:
            with self.fabric.autocast():
                return module(batch)

        return forward, self.fabric.setup_optimizers(optimiser)

    def align(self, module: nn.Module) -> None:
        """Average a module's gradients and floating-point buffers over the processes, by one exchange."""
        if self.world == 1:
            return
        tensors = [each.grad for each in module.parameters() if each.grad is not None]
        tensors += [each for each in module.buffers() if each.is_floating_point()]
        means = self.mean(torch.cat([each.float().flatten() for each in tensors]))
        for tensor, mean in zip(tensors, means.split([each.numel() for each in tensors]), strict=True):
            tensor.copy_(mean.view_as(tensor))

    def shard(self, module: nn.Module) -> None:
        """Spread a frozen module's weights over the processes (FSDP2); each layer is gathered when it runs."""
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        mesh = init_device_mesh(self.device.type, (self.world,))
        for child in module.children():
            if any(True for _ in child.parameters()):
                fully_shard(child, mesh=mesh)
        fully_shard(module, mesh=mesh)

    def gathering(self, module: Any, *, is_last: bool) -> AbstractContextManager[Any]:
        """Leave gradients unaveraged inside, but for the last of several backward passes that one step adds up."""
        is_alone = self.world == 1
        return nullcontext() if is_alone or is_last else self.fabric.no_backward_sync(module)

    def backward(self, loss: Tensor) -> None:
        """Run the backward pass of a loss that a set-up module returned."""
        self.fabric.backward(loss)

    def clip(self, module: Any, optimiser: Any, norm: float) -> None:
        """Scale the gradients down to a norm."""
        self.fabric.clip_gradients(module, optimiser, max_norm=norm)

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean of a tensor over the processes."""
        return values if self.world == 1 else self.fabric.all_reduce(values, reduce_op="mean")  # pyright: ignore

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum of a tensor over the processes."""
        return values if self.world == 1 else self.fabric.all_reduce(values, reduce_op="sum")  # pyright: ignore

    def gathered(self, value: Any) -> list[Any]:
        """Return every process's value, in the order of their ranks, in all of them."""
        if self.world == 1:
            return [value]
        values: list[Any] = [None] * self.world
        torch.distributed.all_gather_object(values, value)
        return values


def _without_gradient(module: nn.Module, probe: Callable[[], Tensor]) -> list[str]:
    was_training = module.training
    module.eval()  # so that no running statistic takes the batch in twice
    probe().backward()
    module.train(was_training)
    names = [name for name, each in module.named_parameters() if each.requires_grad and each.grad is None]
    module.zero_grad()
    return names


def sum_over_processes(values: Tensor) -> Tensor:
    """Return the sum of a tensor over all processes of torch's own group, for modules that work in anyone's loop."""
    if not _is_grouped():
        return values
    total = values.clone()
    torch.distributed.all_reduce(total)
    return total


def average_over_processes(values: Tensor) -> Tensor:
    """Return the mean of a tensor over all processes of torch's own group, for modules that work in anyone's loop."""
    return sum_over_processes(values) / torch.distributed.get_world_size() if _is_grouped() else values


def is_first_process() -> bool:
    """Whether this process speaks for the run, before or after its `Processes` exist."""
    return all(os.environ.get(name, "0") == "0" for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"))


def is_launched() -> bool:
    """Whether a launcher started this process as one of several that run the same command."""
    count, nodes = _found() or (1, 1)
    return count * nodes > 1


def leave(code: int) -> int:
    """Return an exit code; of several processes, exit with it at once.

    Two gloo processes of torch 2.13 abort in about 1 of 12 ordinary exits, after all work is done.
    """
    if _is_grouped():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def _is_grouped() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def _found() -> tuple[int, int] | None:
    """Return (processes a node, nodes) of the launcher that started this process; None if it was started alone."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        local, world = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])
        return local, world // local
    # An interactive shell inside an allocation isn't a job step: SLURM names it "bash".
    if "SLURM_PROCID" in os.environ and os.environ.get("SLURM_JOB_NAME") not in ("bash", "interactive"):
        nodes = int(os.environ.get("SLURM_NNODES", "1"))
        return int(os.environ.get("SLURM_NTASKS", "1")) // nodes, nodes
    return None
