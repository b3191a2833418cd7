"""The benchmark continues where it was killed, survives its methods, and ends in a page that opens offline."""

import json
import re
import time
from pathlib import Path

import pytest
import torch

from benchmarks.convergence import __main__ as command_line
from benchmarks.convergence import bench, drift, methods, problems, protocol
from benchmarks.convergence.profiles import PROFILES, SMALL, Part, Plan, plan
from benchmarks.convergence.results import MOST_STARTS, Results, ResultsError, read
from benchmarks.convergence.watch import TARGETS, FinishedError, Judge, Limit, Watch

METHODS = ("cayley + SGD", "riemannian + L-BFGS", "pymanopt conjugate gradients")
PLAN = Plan((Part(("pca:12x3",), METHODS, 0.01), Part(("streaming_pca:64x2",), METHODS, 0.01)), 2, 1, 0)


class KilledError(BaseException):
    """Not an Exception: nothing in the benchmark catches it, as nothing catches SIGKILL."""


def work(folder: Path) -> Results:
    results = Results(folder / "results.jsonl")
    bench.work(PLAN, results, lambda _: None)
    return results


def ended(results: Results) -> list[str]:
    return [line["job"] for line in results.lines if line["kind"] == "end"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return work(tmp_path_factory.mktemp("whole"))


def test_every_problem_method_and_seed_has_a_run(whole: Results) -> None:
    runs = {(line["problem"], line["method"], line["seed"]) for line in whole.of("run")}
    assert runs == {
        (text, name, seed) for part in PLAN.parts for text in part.problems for name in METHODS for seed in (1, 2)
    }
    for line in whole.of("run"):
        assert set(line["curve"]) == set(protocol.CURVE)
        if line["curve"]["gap"]:
            assert line["curve"]["gap"][0] == pytest.approx(1)
            assert len(line["curve"]["gap"]) <= protocol.MOST_RECORDS
    assert any(line["kind"] == "environment" and line["environment"]["packages"]["torch"] for line in whole.lines)


def test_what_does_not_fit_a_problem_is_left_out_with_the_reason(whole: Results) -> None:
    left_out = [line for line in whole.of("run") if line["status"] == "left out"]
    assert {(line["problem"], line["method"]) for line in left_out} == {
        ("streaming_pca:64x2", name) for name in METHODS if methods.get(name).is_deterministic
    }
    assert all("mini-batches" in line["reason"] for line in left_out)


@pytest.mark.parametrize("jobs", [1, 4, 11])
def test_a_killed_benchmark_continues_where_it_stopped(
    jobs: int, whole: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, count = Results.append, 0

    def until_killed(self: Results, line: dict) -> None:
        nonlocal count
        count += line["kind"] == "end"
        if count > jobs:
            with self.path.open("a") as file:
                file.write('{"kind":"end","job":"half a l')
            raise KilledError
        append(self, line)

    monkeypatch.setattr(Results, "append", until_killed)
    with pytest.raises(KilledError):
        work(tmp_path)
    monkeypatch.undo()
    done = ended(Results(tmp_path / "results.jsonl"))
    assert len(done) == jobs
    again = work(tmp_path)
    # Nothing that was done is done again, and everything is there in the end.
    assert ended(again) == ended(whole)
    assert all(json.loads(line) for line in again.path.read_text().splitlines())


def test_a_finished_benchmark_does_nothing_more(whole: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "run", None)
    before = ended(whole)
    assert ended(work(whole.path.parent)) == before


def test_results_of_other_settings_are_refused(whole: Results) -> None:
    with pytest.raises(ResultsError, match=r"threads 1 \(asked for: 2\)"):
        Results(whole.path).settle({"threads": 2, "drift_steps": 0}, {})


def test_a_job_that_takes_the_process_down_again_and_again_is_a_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object, **__: object) -> None:
        raise KilledError

    monkeypatch.setattr(protocol, "tune", die)
    with pytest.raises(KilledError):
        work(tmp_path)
    # Killed in each of its jobs in turn; in the end it is through.
    for _ in range(MOST_STARTS * len(METHODS) * len(PLAN.parts)):
        try:
            results = work(tmp_path)
            break
        except KilledError:
            continue
    assert {line["reason"] for line in results.of("tuning")} == {f"the process died in it {MOST_STARTS} times"}
    assert len(list(results.of("run"))) == 2 * len(METHODS) * len(PLAN.parts)


def test_the_clock_stands_still_while_an_iterate_is_judged() -> None:
    problem = problems.build("pca:12x3")
    start = problem.start(1)

    class Slow(Judge):
        def look(self, point: torch.Tensor) -> tuple[float, float, float]:
            time.sleep(0.05)
            return super().look(point)

    watch = Watch(problem, Slow(problem, start), Limit(iterations=5))
    with pytest.raises(FinishedError, match="censored"):
        methods.get("riemannian + SGD").run(watch, start, lr=0.1, seed=1)
    assert len(watch.records) == 6
    # 0.3 s of sleep are not in it; five steps at this size take a few milliseconds.
    assert watch.seconds < 0.1
    assert 0 < watch.problem_seconds < watch.seconds


def test_tuning_spends_the_same_on_every_method_and_takes_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    spent = 0.0

    def run(method: object, problem: object, *, lr: float, seed: int, limit: Limit) -> protocol.Outcome:
        nonlocal spent
        spent += limit.seconds
        watch = Watch(problem, Judge(problem, problem.start(1)), Limit())
        watch.look(lambda: problem.start(1), is_step=False)
        record = watch.records[0]
        # Best at 0.1, worse the further away.
        gap = 0.1 + abs(torch.log10(torch.tensor(lr / 0.1)).item())
        return protocol.Outcome("censored", "", [type(record)(**{**vars(record), "gap": gap})], [])

    monkeypatch.setattr(protocol, "run", run)
    found = protocol.tune(methods.get("cayley + SGD"), problems.build("pca:12x3"), 3.0)
    assert found["lr"] == pytest.approx(0.1)
    assert spent == pytest.approx(2 * 3.0)
    assert [len(rung) for rung in found["trail"]] == [9, 3]


def test_targets_are_reached_in_order_and_flops_follow_evaluations() -> None:
    problem, method = problems.build("pca:12x3"), methods.get("riemannian + L-BFGS")
    outcome = protocol.run(method, problem, lr=1.0, seed=1, limit=Limit(iterations=200))
    assert outcome.status == "converged"
    found = protocol.summary(outcome, 100.0)["reached"]
    assert list(found) == [f"{target:.0e}" for target in TARGETS]
    for key in ("seconds", "iterations", "flops"):
        assert [each[key] for each in found.values()] == sorted(each[key] for each in found.values())
    assert all(0 <= each["own_seconds"] <= each["seconds"] for each in found.values())
    # To three digits.
    assert found["1e-09"]["flops"] == pytest.approx(100 * outcome.records[-1].evaluations, rel=1e-2)


def test_drift_is_looked_at_after_powers_of_ten() -> None:
    found = drift.measure("riemannian + SGD", 150)
    assert found["status"] == "finished"
    assert list(found["defects"]) == ["1", "10", "100"]
    assert all(defect <= 30 for defect in found["defects"].values())
    assert {"cayley + SGD", "geoopt Euclidean + RSGD", "torch cayley + SGD"} <= set(drift.candidates())


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_names_what_there_is(name: str) -> None:
    chosen = plan(name)
    assert {text.partition(":")[0] for part in chosen.parts for text in part.problems} == set(problems.PROBLEMS)
    for part in chosen.parts:
        assert set(part.methods) <= set(methods.registered())
    assert set(SMALL) <= set(problems.PROBLEMS)


def test_the_full_profile_runs_every_method_from_five_starts_at_least() -> None:
    chosen = plan("full")
    assert chosen.seeds >= 5
    assert {name for part in chosen.parts for name in part.methods} == set(methods.registered())
    assert {"pca:2000x50", "brockett:2000x50", "procrustes:2000x50"} <= {
        text for part in chosen.parts for text in part.problems
    }


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    words = ["--problem", "pca:12x3", "brockett:12x2", "--method", *METHODS, "soft penalty + SGD"]
    assert command_line.main([*words, "--budget", "0.02", "--seeds", "2", "--threads", "1", "--out", str(folder)]) == 0
    return folder


def test_the_command_line_writes_a_page_that_opens_offline(page: Path) -> None:
    text = (page / "report.html").read_text()
    assert not re.search(r'(src|href)="(?!data:|#)', text)
    for word in ("Performance profiles", "Which method for which problem", "Drift", "Defect against gap", *METHODS):
        assert word in text
    assert text.count("<svg") >= 5
    pngs = {path.name for path in page.glob("*.png")}
    assert pngs == {"pca-12x3.png", "brockett-12x2.png", "profiles.png", "defects.png", "drift.png"}
    assert all(path.stat().st_size > 5000 for path in page.glob("*.png"))


def test_a_page_is_made_again_from_its_lines_alone(page: Path) -> None:
    before = (page / "report.html").read_text()
    lines = read(page / "results.jsonl")
    assert command_line.main(["--page-only", "--out", str(page)]) == 0
    assert (page / "report.html").read_text() == before
    assert read(page / "results.jsonl") == lines


@pytest.mark.parametrize("words", [["--method", "caley"], ["--problem", "pcaa"], ["--seeds", "many"]])
def test_a_wrong_flag_is_one_sentence(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main([*words, "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
