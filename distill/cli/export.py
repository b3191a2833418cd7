"""`distill export`: a trained student as files that load anywhere."""

import argparse
from pathlib import Path

from distill.cli import options
from distill.export import export


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    parser = options.parser(commands, "export", "write a trained student as files that load anywhere", _export)
    parser.add_argument("source", type=Path, metavar="RUN|CHECKPOINT", help="a run folder, or one of its checkpoints")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where the files go")
    parser.add_argument("--average", action="store_true", help="the weights' moving average, not the last step's")
    parser.add_argument("--onnx", action="store_true", help="write model.onnx beside config.json and model.safetensors")


def _export(arguments: argparse.Namespace, keys: list[str], words: list[str]) -> int:
    options.refuse("export", keys)
    for path in export(arguments.source, arguments.out, onnx=arguments.onnx, is_averaged=arguments.average):
        print(path)
    return 0
