"""`distill convert-voc`: Pascal VOC's annotations as COCO's, which detection recipes read."""

import argparse
from pathlib import Path

from distill.cli import options
from distill.detection.data.voc import convert


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    parser = options.parser(commands, "convert-voc", "write Pascal VOC's annotations in COCO's form", _convert)
    parser.add_argument("roots", type=Path, nargs="+", metavar="FOLDER", help="such as VOCdevkit/VOC2007")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="what data.path names afterwards")
    parser.add_argument("--train", default="trainval", metavar="LIST", help="of ImageSets/Main (default trainval)")
    parser.add_argument("--val", default="test", metavar="LIST", help="of ImageSets/Main (default test)")


def _convert(arguments: argparse.Namespace, keys: list[str], words: list[str]) -> int:
    options.refuse("convert-voc", keys)
    left_out = convert(arguments.roots, arguments.out, {"train": arguments.train, "val": arguments.val})
    for reason, count in left_out.items():
        print(f"left out {count} {reason}")
    print(f"train on it: --data.name coco --data.path {arguments.out}")
    return 0
