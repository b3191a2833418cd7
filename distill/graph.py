"""A model as a graph of tensors, which becomes an ONNX file."""

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from distill import extras
from distill.errors import ModelError


@dataclass(frozen=True)
class Graph:
    """A model that takes and returns tensors alone.

    name: of the model, for errors. module: its `forward` takes `inputs` in their order and returns a tuple of
    `outputs`. inputs: by name, examples of two, as the first axis is a batch of any size; the others are fixed.
    """

    name: str
    module: nn.Module
    inputs: Mapping[str, Tensor]
    outputs: Sequence[str]


def write_onnx(graph: Graph, path: Path) -> None:
    """Write a graph as an ONNX file.

    Raises: MissingExtraError; ModelError for a model that torch can't export.
    """
    for package in ("onnx", "onnxscript"):
        extras.load(package, needed_by="an ONNX file")
    try:
        with _quiet():
            torch.onnx.export(
                graph.module.eval(),
                tuple(graph.inputs.values()),
                path,
                input_names=list(graph.inputs),
                output_names=list(graph.outputs),
                dynamic_shapes=tuple({0: "batch"} for _ in graph.inputs),
                external_data=False,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        reason = f"torch can't turn it into an ONNX graph ({str(error).splitlines()[0]})"
        raise ModelError(graph.name, reason, cure="export it without --onnx") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back what torch 2.13 and onnxscript 0.7 say of themselves."""
    logger = logging.getLogger("onnxscript.optimizer")  # a line for each operator that it leaves as it is
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`isinstance\\(treespec, LeafSpec\\)` is deprecated", FutureWarning)
            # All inputs have one batch: that is what they share a name for.
            warnings.filterwarnings("ignore", "# The axis name: batch will not be used", UserWarning)
            yield
    finally:
        logger.setLevel(level)
