"""`distill import-weights`: published weights of others as a model folder of ours."""

import argparse
from pathlib import Path

from distill.cli import options
from distill.detection.models import save
from distill.detection.models.vidt_weights import import_weights
from distill.run_folder import create

_FORMATS = {"vidt": import_weights}


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    parser = options.parser(commands, "import-weights", "write published weights as a model folder of ours", _import)
    parser.add_argument("format", choices=_FORMATS, help="whose they are: vidt for ViDT's authors' vidt_*.pth")
    parser.add_argument("file", type=Path, help="a file on this machine; nothing is downloaded, no code in it is run")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where the files go")


def _import(arguments: argparse.Namespace, keys: list[str], words: list[str]) -> int:
    options.refuse("import-weights", keys)
    name, detector = _FORMATS[arguments.format](arguments.file)
    create(arguments.out)
    save(name, detector, arguments.out)
    print(f"{name}, {detector.classes} classes: {arguments.out}")
    return 0
