"""A task of several players: turns in order, an optimiser each, one exchange of gradients, and resuming."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from distill import checkpoint
from distill.budget import STEPS
from distill.budget.budget import FLOPS
from distill.budget.step import traced, training_step
from distill.config import Config, Optimiser
from distill.errors import CollapsedRunError, NonFiniteLossError
from distill.loop import fit
from distill.metric import Metric
from distill.processes import Processes
from distill.run_folder import RunFolder, read_charges, read_records
from distill.schedule import Schedule
from distill.task import Ailment, Player, Task

ORDER = ["row", "row", "column"]


class Turn(nn.Module):
    """±⟨row, A·column⟩: one player lowers it, the other raises it. The other's weight gets no gradient."""

    def __init__(self, duel: "Duel", own: str):
        super().__init__()
        self.duel, self.own = duel, own

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        row, column = self.duel.row.weight, self.duel.column.weight
        row, column = (row, column.detach()) if self.own == "row" else (row.detach(), column)
        value = (row @ batch["matrix"] @ column.T).sum() + 0.1 * (row.square().sum() - column.square().sum())
        return {"loss": value if self.own == "row" else -value, f"{self.own}_norm": row.norm()}


class Duel(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.row, self.column = nn.Linear(4, 1, bias=False), nn.Linear(4, 1, bias=False)
        for number, each in enumerate((self.row, self.column)):
            nn.init.constant_(each.weight, 1.0 + number)


class Game(Task):
    """Two turns of the row, then one of the column; each of a matrix of its own."""

    metric = Metric("closeness", "closeness")

    def __init__(self, *, scale: float = 1.0, lasts: int = 1000):
        self.module = Duel()
        self.kept, self.scale, self.lasts, self.steps = self.module.column, scale, lasts, 0
        self.pictures: list[int] = []

    @property
    def steps_per_epoch(self) -> int:
        return 1

    def batch(self, step: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(step)
        return {"matrix": self.scale * torch.randn(3, 4, 4, generator=generator)}

    def indices(self, step: int) -> list[int]:
        return [step]

    def players(self) -> Mapping[str, Player]:
        module = self.module
        return {name: Player(Turn(module, name), getattr(module, name)) for name in ("row", "column")}

    def turns(self, batch: dict[str, Tensor]) -> Iterable[tuple[str, dict[str, Tensor]]]:
        for name, matrix in zip(ORDER, batch["matrix"], strict=True):
            yield name, {"matrix": matrix}

    def ailment(self, losses: Mapping[str, float]) -> Ailment | None:
        self.steps += 1
        return None if self.steps <= self.lasts else Ailment("a duel that bores", 6)

    def depict(self, folder: Path, step: int) -> None:
        self.pictures.append(step)

    def evaluate(self) -> dict[str, float]:
        return {"closeness": -float(self.module.row.weight.detach().norm())}


ADAM = Optimiser(name="adam", lr=0.01, weight_decay=0.0, clip_norm=0.0, schedule="constant", warmup=0.0, beta1=0.0)


def opened(folder: Path) -> RunFolder:
    run = RunFolder(folder, "game: 1\n")
    run.open(resume=run.is_started)
    return run


def play(folder: Path, game: Game, amount: float = 20, unit: str = STEPS) -> dict:
    return fit(game, Schedule(amount, ADAM, evaluations=4, unit=unit), opened(folder), Processes())


def test_a_game_is_what_torchs_optimisers_make_of_its_turns(tmp_path: Path) -> None:
    game, slow = Game(), Game()
    play(tmp_path, game)
    players = slow.players()
    optimisers = {
        name: torch.optim.Adam(player.trained.parameters(), lr=0.01, betas=(0.0, 0.999))
        for name, player in players.items()
    }
    for step in range(20):
        for name, part in slow.turns(slow.batch(step)):
            optimisers[name].zero_grad()
            players[name].module(part)["loss"].backward()
            optimisers[name].step()
    expected = slow.module.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in game.module.state_dict().items())
    record = read_records(tmp_path)[-1]
    assert {"row_loss", "column_loss", "row_norm", "column_norm"} <= record.keys()
    assert "loss" not in record
    assert game.pictures == [5, 10, 15, 20]


def test_a_game_that_is_stopped_resumes_bit_for_bit(tmp_path: Path) -> None:
    play(tmp_path / "whole", Game())
    with pytest.raises(CollapsedRunError):
        play(tmp_path / "stopped", Game(lasts=12))
    play(tmp_path / "stopped", Game())
    states = [checkpoint.load(checkpoint.paths(tmp_path / name)[-1]) for name in ("whole", "stopped")]
    for name in ("row", "column"):
        one, other = (state["optimisers"][name]["state"][0] for state in states)
        assert all(torch.equal(one[key], other[key]) for key in one)
        assert torch.equal(*(state["module"][f"{name}.weight"] for state in states))


def test_a_collapse_names_the_last_checkpoint_before_it_began(tmp_path: Path) -> None:
    with pytest.raises(CollapsedRunError, match="a duel that bores at step 12") as caught:
        play(tmp_path, Game(lasts=12))
    # Six steps before step 12 only the checkpoint of step 5 was written.
    assert caught.value.checkpoint == tmp_path / "checkpoints" / "step-00000005.pt"


def test_a_players_loss_of_nan_is_named_at_its_turn(tmp_path: Path) -> None:
    with pytest.raises(NonFiniteLossError, match="expected a finite loss"):
        play(tmp_path, Game(scale=1e38))


def test_a_step_is_charged_for_all_its_turns(tmp_path: Path) -> None:
    step = traced(training_step(Game(), _Plain()), Game())
    play(tmp_path, Game(), amount=10.5 * step.flops, unit=FLOPS)
    charges = read_charges(tmp_path)
    assert charges[-1][1] == 11
    assert {price for _, _, price in charges} == {step.flops}


class _Plain(Config):
    """What a step takes of a config."""

    optimiser = ADAM

    @property
    def batch_size(self) -> int:
        return 1


def test_gradients_and_statistics_are_averaged_by_one_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    module = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Linear(2, 2))
    module(torch.randn(4, 3, generator=torch.Generator().manual_seed(0))).sum().backward()
    module[2].weight.grad = None
    before = {name: each.grad.clone() for name, each in module.named_parameters() if each.grad is not None}
    buffers = {name: each.clone() for name, each in module.named_buffers()}
    exchanges: list[int] = []

    def mean(processes: Processes, values: Tensor) -> Tensor:
        exchanges.append(values.numel())
        return values / 2  # as if the other process had zeros

    monkeypatch.setattr(Processes, "world", property(lambda processes: 2))
    monkeypatch.setattr(Processes, "mean", mean)
    Processes().align(module)
    assert exchanges == [sum(each.numel() for each in before.values()) + 4]
    assert all(torch.equal(dict(module.named_parameters())[name].grad, each / 2) for name, each in before.items())
    assert torch.equal(module[1].running_var, buffers["1.running_var"] / 2)
    assert torch.equal(module[1].num_batches_tracked, buffers["1.num_batches_tracked"])
    assert module[2].weight.grad is None


def test_a_constant_rate_stays_at_its_peak_after_the_warm_up() -> None:
    schedule = Schedule(100, Optimiser(schedule="constant", warmup=0.1))
    assert [schedule.factor(step) for step in (0, 4, 10, 50, 99)] == pytest.approx([0.1, 0.5, 1, 1, 1])
