"""`proofs`: try to break the laws of a parameterisation, ours or yours; certify checkpoints; check the theorems.

proofs verify cayley
proofs verify my_package.my_map:MyMap --dtype float64 --examples 500 --json findings.json
proofs certify checkpoint.pt --json certificate.json
proofs certify checkpoint.pt --coq
proofs check certificate.json checkpoint.pt
proofs formal
"""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table

import stiefel
from distill.errors import DistillError
from proofs.certificates import as_text, subject, unproved
from proofs.errors import Refused, UnsuitableError
from proofs.formal import CLASSICAL, check
from proofs.formal.build import is_coq_here
from proofs.formal.kernel import LARGEST, prove
from proofs.profiles import PROFILES
from stiefel import StiefelError, console
from stiefel.certificate import certify
from stiefel.certificate_check import compare, read, to_json

if TYPE_CHECKING:
    from proofs.verify import Finding

_DTYPES = {"float32": torch.float32, "float64": torch.float64}
_TARGET = "a .pt, .pth or .safetensors file, or a folder of `distill train`"
_COQ_HELP = f"have Coq's kernel check the bound of real matrices up to {LARGEST} × {LARGEST} too"
_PROFILES_HELP = (
    ", ".join(f"{name}: {each.examples} cases a law, runs of {each.steps} steps" for name, each in PROFILES.items())
    + "; the same cases every time in ci alone (default: %(default)s)"
)
_STYLES = {"holds": "green", "refuted": "bold red", "not applicable": "dim"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, 1 if something is refuted or a proof fails, 2 for bad input."""
    return console.run("proofs", lambda: _dispatch(argv), (StiefelError, DistillError, OSError))


def _dispatch(argv: Sequence[str] | None) -> int:
    parser = console.Parser(prog="proofs", description="Evidence for the laws of a map and for weights on disk.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    verify = commands.add_parser("verify", help="search for a counterexample to every law: sampled evidence")
    which = verify.add_mutually_exclusive_group(required=True)
    which.add_argument("name", nargs="?", help="a registered name or module:Class")
    which.add_argument("--all", action="store_true", help="every registered parameterisation")
    verify.add_argument("--dtype", choices=_DTYPES, help="draw this dtype alone (default: both)")
    verify.add_argument("--profile", choices=PROFILES, default="ci", help=_PROFILES_HELP)
    verify.add_argument("--examples", type=_count, metavar="N", help="cases a law (default: the profile's)")
    verify.add_argument("--json", type=Path, metavar="FILE", help="write the findings to FILE as well")
    verify.set_defaults(run_command=_verify)
    certify_ = commands.add_parser("certify", help="bound, rigorously, how far stored matrices are from orthonormal")
    certify_.add_argument("target", type=Path, metavar="CHECKPOINT|RUN_FOLDER", help=_TARGET)
    certify_.add_argument("--exact", action="store_true", help="compute in exact integers and in balls: slow, tightest")
    certify_.add_argument("--coq", action="store_true", help=_COQ_HELP)
    certify_.add_argument("--json", type=Path, metavar="FILE", help="write the certificate to FILE as well")
    certify_.set_defaults(run_command=_certify)
    check_ = commands.add_parser("check", help="compare a certificate with the checkpoint that it speaks of")
    check_.add_argument("certificate", type=Path, metavar="CERTIFICATE", help="what `proofs certify --json` wrote")
    check_.add_argument("target", type=Path, metavar="CHECKPOINT|RUN_FOLDER", help=_TARGET)
    check_.set_defaults(run_command=_check)
    formal = commands.add_parser("formal", help="build the theorems with Coq and print their axioms: proved")
    formal.set_defaults(run_command=_formal)
    arguments = parser.parse_args(argv)
    try:
        return arguments.run_command(arguments)
    except Refused as refused:
        print(f"refuted: {refused}", file=sys.stderr)
        return 1


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of cases, 1 or more, got {text!r}")
    return int(text)


def _certify(arguments: argparse.Namespace) -> int:
    path, module = subject(arguments.target)
    prover = prove if arguments.coq else None
    if arguments.exact:
        # Imported here, as python-flint is an extra.
        from proofs.balls import ball_distance
        from proofs.exact import ARITHMETIC, enclose_exactly

        certificate = certify(
            path, module=module, arithmetic=ARITHMETIC, enclose=enclose_exactly, distance=ball_distance, prove=prover
        )
    else:
        certificate = certify(path, module=module, prove=prover)
    if arguments.coq and certificate.matrices and all(each.proved is None for each in certificate.matrices):
        raise UnsuitableError(unproved(certificate))
    if arguments.json is not None:
        arguments.json.write_text(to_json(certificate), encoding="utf-8")
    print(as_text(certificate), end="")
    if not certificate.matrices:
        print(f"no matrix of {path.name} is orthonormal: nothing is certified but its hashes")
    return 0 if certificate.matrices else 1


def _check(arguments: argparse.Namespace) -> int:
    certificate = read(arguments.certificate)
    path, module = subject(arguments.target)
    prover = prove if is_coq_here() else None
    found = compare(certificate, path, module=module, prove=prover)
    for sentence in found.unchecked:
        print(f"not checked: {sentence}")
    for sentence in found.differences:
        print(f"refuted: {sentence}")
    if not found.differences:
        print(f"{path.name} is the certified file, and bears out the claims about its tensors")
    return 1 if found.differences else 0


def _verify(arguments: argparse.Namespace) -> int:
    # Imported here, as a missing hypothesis is to be one sentence and not a traceback.
    from proofs.verify import verify

    # The matrices are small: on two busy cores a second thread took 7.4 s where one takes 0.8 s (higher gradients).
    torch.set_num_threads(1)
    names = stiefel.names() if arguments.all else [arguments.name]
    classes = {name: stiefel.get(name) for name in names}
    dtypes = tuple(_DTYPES.values()) if arguments.dtype is None else (_DTYPES[arguments.dtype],)
    profile = PROFILES[arguments.profile]
    examples = profile.examples if arguments.examples is None else arguments.examples
    results: dict[str, list[Finding]] = {}
    for name, by in classes.items():
        results[name] = verify(
            by, examples=examples, dtypes=dtypes, derandomize=profile.derandomize, steps=profile.steps
        )
        _print(name, results[name])
    if arguments.json is not None:
        arguments.json.write_text(_as_json(results, arguments.profile, examples))
    refuted = any(finding.verdict == "refuted" for findings in results.values() for finding in findings)
    return 1 if refuted else 0


def _print(name: str, findings: "list[Finding]") -> None:
    table = Table(title=f"{name}: sampled evidence", title_justify="left", caption_justify="left")
    table.add_column("law", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for heading in ("cases", "worst ratio", "s"):
        table.add_column(heading, justify="right", no_wrap=True)
    for finding in findings:
        worst = "" if finding.worst is None else f"{finding.worst:.3g}"
        cells = (finding.law, finding.verdict, str(finding.cases), worst, f"{finding.seconds:.1f}")
        table.add_row(*cells, style=_STYLES[finding.verdict])
    counts = {verdict: sum(finding.verdict == verdict for finding in findings) for verdict in _STYLES}
    table.caption = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    Console().print(table)
    for finding in findings:
        _print_details(finding)
    print("A ratio is defect / claimed bound. A law that holds is sampled: no counterexample among the cases drawn.\n")


def _print_details(finding: "Finding") -> None:
    if finding.verdict == "not applicable":
        print(f"{finding.law}: {finding.note}")
    elif finding.counterexample is not None:
        reason = "" if finding.note is None else f"  {finding.note}\n"
        print(f"\n{finding.law}, refuted: {finding.statement}\n{reason}{finding.counterexample}")


def _formal(arguments: argparse.Namespace) -> int:
    report = check()
    table = Table(title="theorems: proved by Coq", title_justify="left", caption_justify="left", show_lines=True)
    table.add_column("theorem and what it says")
    table.add_column("file", no_wrap=True)
    table.add_column("axioms", overflow="fold")
    for theorem, axioms in report.proved.items():
        used = sorted({"classical" if axiom in CLASSICAL else axiom for axiom in axioms})
        table.add_row(f"[bold]{theorem.name}[/]\n{escape(theorem.statement)}", theorem.file, "\n".join(used) or "none")
    table.caption = f"{len(report.proved)} theorems. classical: {', '.join(sorted(CLASSICAL))}, of mathcomp-analysis"
    if report.proved:
        Console().print(table)
    for problem in report.problems:
        print(f"proofs: {problem}", file=sys.stderr)
    return 1 if report.problems else 0


def _as_json(results: "dict[str, list[Finding]]", profile: str, examples: int) -> str:
    # JSON has neither NaN nor infinity; they are written as strings.
    def written(value: object) -> object:
        return repr(value) if isinstance(value, float) and not math.isfinite(value) else value

    maps = {
        name: [{key: written(value) for key, value in asdict(finding).items()} for finding in findings]
        for name, findings in results.items()
    }
    settings = {"evidence": "sampled", "profile": profile, "examples": examples, "torch": torch.__version__}
    return json.dumps(settings | {"maps": maps}, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.exit(main())
