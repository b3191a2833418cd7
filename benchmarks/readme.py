"""Write the tables of the READMEs from the committed results; the prose around them is written by hand.

    python -m benchmarks.readme            # after new results
    python -m benchmarks.readme --check    # exit code 1 if a README isn't what its results say

A table stands between `<!-- table NAME, written by python -m benchmarks.readme -->` and `<!-- end -->`.
"""

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.convergence.tables import for_readme
from benchmarks.tables import overhead, tables
from stiefel import console

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
READMES = (ROOT / "README.md", ROOT / "benchmarks" / "README.md")
_PLACE = re.compile(r"(<!-- table (\w+), written by python -m benchmarks\.readme -->\n).*?(<!-- end -->)", re.DOTALL)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    return console.run("benchmarks.readme", lambda: _main(argv), (ValueError, OSError))


def _main(argv: Sequence[str] | None) -> int:
    parser = console.Parser(prog="python -m benchmarks.readme", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if something would change")
    arguments = parser.parse_args(argv)
    made = committed()
    stale = [path for path in READMES if filled(path.read_text(), made) != path.read_text()]
    for path in stale:
        print(f"{path.relative_to(ROOT)} {'is out of date' if arguments.check else 'written'}")
        if not arguments.check:
            path.write_text(filled(path.read_text(), made))
    return int(arguments.check and bool(stale))


def committed() -> dict[str, str]:
    """Return the tables of the committed results."""
    made = tables(*(json.loads((RESULTS / name).read_text()) for name in ("speed-cpu.json", "growth-cpu.json")))
    for name, file in (("overhead", "overhead-cpu.json"), ("overhead_detection", "overhead-detection-cpu.json")):
        made[name] = overhead(json.loads((RESULTS / file).read_text()))
    return made | for_readme(RESULTS / "convergence" / "results.jsonl")


def filled(text: str, made: dict[str, str]) -> str:
    """Return `text` with each table in its place.

    Raises: ValueError if a place names no table.
    """

    def fill(place: re.Match[str]) -> str:
        begin, name, end = place.groups()
        if name not in made:
            raise ValueError(f"no table {name!r}; choose one of {', '.join(made)}")
        return f"{begin}\n{made[name]}\n\n{end}"

    return _PLACE.sub(fill, text)


if __name__ == "__main__":
    sys.exit(main())
