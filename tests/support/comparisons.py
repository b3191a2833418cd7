"""Comparisons with figures of one's choice, that no run was needed for."""

from distill.metric import ACCURACY, Metric
from distill.results import BASELINE, Comparison, Method, Run

DISTANCE = Metric("fid", "FID", is_higher_better=False)
PARTS = {"student": 0.5, "teacher": 0.2, "projector": 0.3, "optimiser": 0.1, "other": 0.1}


def comparison(metric: Metric = ACCURACY, *, teacher: float = 0.99, **values: list[float]) -> Comparison:
    """Return a comparison of methods with the given values of the metric over seeds; cayley has a defect."""

    def run(seed: int, value: float, extra: dict[str, float]) -> Run:
        clocks = {"train_seconds": 1.0 + seed, "data_seconds": 0.1, "step_ms": 50.0 + seed, "steps": 20}
        records = [
            {"step": step, "train_seconds": step / 10, metric.name: value * step / 20, "test_loss": 1 / step, **extra}
            for step in (10, 20)
        ]
        return Run(seed, {metric.name: value, "test_loss": 0.05, **clocks, **extra}, records)

    def method(name: str, numbers: list[float]) -> Method:
        extra = {"defect": 1e-6} if name == "cayley" else {}
        parts = {"student": 0.5, "optimiser": 0.1} if name == BASELINE else PARTS
        runs = [run(seed, value, extra) for seed, value in enumerate(numbers)]
        return Method(name, runs, varied={"method": name}, teacher=teacher, parts_ms=parts)

    return Comparison(
        task="classification",
        recipe_name="digits",
        budget="steps:20",
        metric=metric,
        methods=[method(name.replace("_", " "), numbers) for name, numbers in values.items()],
        recipe="alpha: 1.0\n",
        environment={"torch": "2.13"},
        command="distill compare <classification>",
        trust=["V100 times are predicted."],
    )
