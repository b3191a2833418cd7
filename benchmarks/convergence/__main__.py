"""The command line of the convergence benchmark.

python -m benchmarks.convergence --profile quick --out runs/convergence
python -m benchmarks.convergence --problem pca:200x10 --method "cayley + SGD" "riemannian + L-BFGS" --budget 1
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits

from benchmarks.convergence import methods, problems
from benchmarks.convergence.bench import work
from benchmarks.convergence.judge import OURS, entries
from benchmarks.convergence.page import write
from benchmarks.convergence.profiles import PROFILES, plan
from benchmarks.convergence.results import Results
from stiefel import StiefelError, console


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 1 if a method of ours is flagged."""
    return console.run("benchmarks.convergence", lambda: _main(argv), (StiefelError, ValueError, OSError))


def _main(argv: Sequence[str] | None) -> int:
    parser = console.Parser(prog="python -m benchmarks.convergence", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--profile", default="quick", choices=list(PROFILES))
    parser.add_argument("--problem", nargs="+", metavar="NAME[:NxP]", help=", ".join(problems.PROBLEMS))
    parser.add_argument("--method", nargs="+", metavar="NAME", help="; ".join(methods.registered()))
    parser.add_argument("--budget", type=float, help="seconds of a method's own work in one run")
    parser.add_argument("--seeds", type=int, help="runs of each method, from different starts")
    parser.add_argument("--threads", type=int, help="of torch and of BLAS")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/convergence"), help="a folder; one that is there is continued"
    )
    parser.add_argument("--page-only", action="store_true", help="write the page from the results that are there")
    arguments = parser.parse_args(argv)
    for name in arguments.method or []:
        methods.get(name)
    for text in arguments.problem or []:
        problems.get(text.partition(":")[0])
    chosen = plan(arguments.profile).with_flags(
        problems=arguments.problem,
        methods=arguments.method,
        budget=arguments.budget,
        seeds=arguments.seeds,
        threads=arguments.threads,
    )
    results = Results(arguments.out / "results.jsonl")
    if not arguments.page_only:
        torch.set_num_threads(chosen.threads)
        # numpy's BLAS, pymanopt's, has threads of its own.
        with threadpool_limits(chosen.threads):
            work(chosen, results, lambda text: print(text, flush=True))
    write(results.lines, arguments.out)
    print(arguments.out / "report.html")
    wrong = [entry for entry in entries(results.lines) if entry.family == OURS and entry.flags]
    for entry in wrong:
        print(f"{entry.problem}, {entry.method}: {'; '.join(entry.flags)}")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
