"""`distill predict`: a detection run's boxes, drawn into images."""

import argparse
from pathlib import Path

from distill.cli import options
from distill.detection.predict import predict


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    parser = options.parser(commands, "predict", "draw the boxes that a detection run finds in images", _predict)
    parser.add_argument("run", type=Path, help="a run folder")
    parser.add_argument("images", type=Path, nargs="+", metavar="IMAGE", help="image files")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where the pictures go")
    parser.add_argument("--threshold", type=_share, default=0.3, help="the least score that is drawn (default 0.3)")


def _predict(arguments: argparse.Namespace, keys: list[str], words: list[str]) -> int:
    options.refuse("predict", keys)
    for drawn in predict(arguments.run, arguments.images, arguments.out, threshold=arguments.threshold):
        print(f"{drawn.path}: {', '.join(f'{name} {score:.2f}' for name, score, _ in drawn.found) or 'nothing'}")
    return 0


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a score from 0 to 1, got {text!r}")
    return value
