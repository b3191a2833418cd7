"""`stiefel`: list the parameterisations and what they claim, and look into checkpoints.

stiefel list --json
stiefel inspect checkpoint.pt
"""

import inspect
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from stiefel import console, registry
from stiefel.base import Claims, Parameterisation
from stiefel.diagnose import StoredMatrix, inspect_state_dict, read_state_dict
from stiefel.errors import StiefelError

_KINDS = {
    "plain": "plain tensor",
    "point": "parameter of a Riemannian optimiser",
    "base": "base of a parameterisation",
    "packed": "packed base of a parameterisation",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    return console.run("stiefel", lambda: _dispatch(argv), (StiefelError,))


def _dispatch(argv: Sequence[str] | None) -> int:
    parser = console.Parser(prog="stiefel", description="Stiefel parameterisations, swapped by a flag.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    list_ = commands.add_parser("list", help="print every parameterisation with its claims")
    list_.add_argument("--json", action="store_true", help="print JSON instead of text")
    describe = commands.add_parser("describe", help="print all claims of one parameterisation")
    describe.add_argument("name", help="a registered name or module:Class")
    inspect_ = commands.add_parser("inspect", help="print the orthonormal matrices of a checkpoint")
    inspect_.add_argument("checkpoint", type=Path, help="a .pt, .pth or .safetensors file")
    inspect_.add_argument("--json", action="store_true", help="print JSON instead of text")
    arguments = parser.parse_args(argv)
    if arguments.command == "describe":
        _describe(registry.get(arguments.name))
    elif arguments.command == "inspect":
        _inspect(arguments.checkpoint, as_json=arguments.json)
    elif arguments.json:
        print(
            json.dumps(
                {name: _as_json(claims) for name, claims in registry.describe().items()}, indent=2, ensure_ascii=False
            )
        )
    else:
        _print_list(registry.describe())
    return 0


def _as_json(claims: Claims) -> dict[str, object]:
    # JSON has no infinity; an exact geodesic's order and an unbounded domain are written as the string "inf".
    return {key: "inf" if value == float("inf") else value for key, value in asdict(claims).items()}


def _print_list(described: dict[str, Claims]) -> None:
    width = max(map(len, described)) + 2
    for name, claims in described.items():
        print(f"{name:<{width}}{claims.summary}")
        print(f"{'':<{width}}{_promise(claims)}; {claims.cost}\n")


def _promise(claims: Claims) -> str:
    domain = "" if claims.domain == float("inf") else f" while ‖F‖₂ ≤ {claims.domain:.3g}"
    order = {None: "no retraction", float("inf"): f"the {claims.metric} geodesic"}.get(
        claims.retraction_order, f"retraction of order {claims.retraction_order} ({claims.metric})"
    )
    fields = "real and complex" if claims.field == "complex" else "real"
    return f"residual ≤ {claims.residual:g} n·eps{domain}; {order}; {claims.optimiser} optimiser; {fields}"


def _describe(found: type[Parameterisation]) -> None:
    print(f"{found.__module__}:{found.__qualname__}\n\n{inspect.getdoc(found)}\n")
    for key, value in asdict(found.claims).items():
        print(f"{key:>16}  {value}")


def _inspect(checkpoint: Path, *, as_json: bool) -> None:
    found = inspect_state_dict(read_state_dict(checkpoint))
    if as_json:
        print(json.dumps([asdict(each) for each in found], indent=2, ensure_ascii=False))
    elif not found:
        print(f"no matrix in {checkpoint} is orthonormal")
    else:
        _print_table([("tensor", "shape", "orthonormal", "defect in n·eps", "kind"), *map(_row, found)])


def _row(each: StoredMatrix) -> tuple[str, ...]:
    defect = "not known" if each.defect is None else f"{each.defect:.3g}"
    free = "" if each.free_norm is None else f", ‖F‖₂ = {each.free_norm:.3g}"
    return each.tensor, " × ".join(map(str, each.shape)), each.side, defect, _KINDS[each.kind] + free


def _print_table(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


if __name__ == "__main__":
    sys.exit(main())
