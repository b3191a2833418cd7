"""A generation run: both players learn, a killed one ends with the same bits, a lost game is stopped and named."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from small_games import SMALL, run_killed, run_small, small

from distill import checkpoint, grid, recipe
from distill.cli import main
from distill.compare import compare
from distill.errors import CollapsedRunError, JobsError, NonFiniteLossError
from distill.executors.local import Local
from distill.generation import game as games
from distill.generation.config import GenerationConfig
from distill.generation.game import Game
from distill.run_folder import read_records, read_summary
from distill.task import Ailment
from distill.tasks.generation import Generation
from distill.train import run_config

LIMIT_SECONDS = 900
METHODS = list(Generation.methods)


def figures(folder: Path) -> list[dict[str, Any]]:
    return [{name: value for name, value in each.items() if name != "train_seconds"} for each in read_records(folder)]


def same(one: Any, other: Any) -> bool:
    """Whether two checkpoints hold the same bits, at any depth."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(same(*pair) for pair in zip(one, other, strict=True))
    return one == other


def state(folder: Path) -> dict[str, Any]:
    content = checkpoint.load(checkpoint.paths(folder)[-1])
    return {name: content[name] for name in ("module", "optimisers", "average", "step", "meter")}


def task(*flags: str) -> Generation:
    return Generation.untaught(small(*flags))


@pytest.mark.parametrize("method", ["kd_dlgan", "vkd_whiten"])
def test_a_killed_game_ends_with_the_bits_of_a_whole_one(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = ["--method", method, "--game.adaptive", "0.6", "--game.adaptive_images", "100"]
    run_small(tmp_path / "whole", *flags)
    run_killed(tmp_path / "killed", *flags, step=5, monkeypatch=monkeypatch)
    run_small(tmp_path / "killed", *flags, resume=True)
    assert figures(tmp_path / "whole") == figures(tmp_path / "killed")
    assert len(figures(tmp_path / "whole")) == 3
    assert same(state(tmp_path / "whole"), state(tmp_path / "killed"))
    names = {path.name for path in (tmp_path / "whole" / "samples").iterdir()}
    assert names == {"interpolation.png", *(f"step-{step:08d}.png" for step in (2, 4, 6))}


def test_a_step_is_the_discriminators_turns_then_the_generators() -> None:
    game = task("--game.turns", "3")
    batch = game.batch(0)
    turns = list(game.turns(batch))
    assert [name for name, _ in turns] == ["discriminator"] * 3 + ["generator"]
    assert all(part["latent"].shape == (8, 32) for _, part in turns)
    assert "pixels" not in turns[-1][1]
    assert not torch.equal(turns[0][1]["latent"], turns[1][1]["latent"])
    assert not torch.equal(turns[0][1]["pixels"], turns[1][1]["pixels"])


def test_a_step_is_a_function_of_seed_and_step() -> None:
    first, second, other = task(), task(), task("--seed", "1")
    assert same(first.batch(3), second.batch(3))
    assert not same(first.batch(3)["latent"], first.batch(4)["latent"])
    assert not same(first.batch(3)["latent"], other.batch(3)["latent"])


@pytest.mark.parametrize("method", METHODS)
def test_a_turn_leaves_the_other_player_without_a_gradient(method: str) -> None:
    game = task("--method", method)
    players = game.players()
    for name, part in game.turns(game.batch(0)):
        players[name].module(part)["loss"].backward()
        other = next(player for key, player in players.items() if key != name)
        assert all(each.grad is not None for each in players[name].trained.parameters())
        assert all(each.grad is None for each in other.trained.parameters())
        game.module.zero_grad()


def test_a_discriminator_that_is_too_sure_sees_more_augmented_images() -> None:
    game = task("--game.adaptive", "0.6", "--game.adaptive_images", "80").game
    images = torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    chances = torch.full((8, 8), 0.15)
    assert torch.equal(game.augmented(images, chances), images)
    for expected in (0.1, 0.2):
        game.adapt(torch.ones(8))
        assert float(game.probability) == pytest.approx(expected)
    assert not torch.equal(game.augmented(images, chances), images)
    game.adapt(torch.tensor([1.0, -1.0]))
    assert float(game.probability) == pytest.approx(0.2 - 2 / 80)


def test_the_augmented_share_follows_the_images_of_all_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    game = task("--game.adaptive", "0.6", "--game.adaptive_images", "80").game
    # The other process saw 8 real images too, and took none of them for real.
    monkeypatch.setattr(games, "sum_over_processes", lambda own: own + torch.tensor([-8.0, 8.0]))
    game.probability.fill_(0.5)
    game.adapt(torch.ones(8))
    assert float(game.probability) == pytest.approx(0.5 - 16 / 80)


def test_every_method_starts_from_the_same_networks() -> None:
    weights = [task("--method", method).game.state_dict() for method in METHODS]
    shared = [key for key in weights[0] if key.split(".")[0] in ("generator", "discriminator")]
    assert shared
    assert all(torch.equal(each[key], weights[0][key]) for each in weights for key in shared)


def test_penalties_are_due_at_their_steps_alone_and_change_the_price_of_a_step() -> None:
    styled = ["--game.networks", "stylegan2_small", "--game.conditional", "false", "--game.stakes", "logistic"]
    game = task(*styled, "--game.r1", "1", "--game.path", "2", "--game.turns", "1", "--game.r1_every", "3")
    due = [{name for name in ("r1", "path") if name in game.batch(step)} for step in range(7)]
    assert due == [{"r1", "path"}, set(), set(), {"r1"}, {"path"}, set(), {"r1"}]
    players = game.players()
    losses = {}
    for name, part in game.turns(game.batch(0)):
        losses |= players[name].module(part)
    assert {"r1", "path_deviation"} <= losses.keys()
    losses["loss"].backward()


def test_two_processes_play_one_game(tmp_path: Path) -> None:
    words = ["train", "generation", "--run", str(tmp_path / "run"), *SMALL, "--scale.devices=2", "--game.adaptive=0.6"]
    done = subprocess.run(
        [sys.executable, "-m", "distill", *words],
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("run folder") == 1
    assert [record["step"] for record in figures(tmp_path / "run")] == [2, 4, 6]


def test_a_sheet_of_samples_is_that_of_the_average(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_small(tmp_path / "run", "--method", "none")
    assert main(["sample", str(tmp_path / "run"), "--out", str(tmp_path / "grid.png")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "grid.png")
    assert (tmp_path / "grid.png").read_bytes() == (tmp_path / "run/samples/step-00000006.png").read_bytes()
    torch.set_num_threads(2)
    assert main(["evaluate", str(tmp_path / "run")]) == 0
    assert torch.get_num_threads() == 1  # as the recipe has it, and the run had it
    summary = read_summary(tmp_path / "run")
    assert f"{summary['fid']:.4g}" in capsys.readouterr().out
    for wrong in ("grid", "grid.jpg", str(tmp_path / "grid.png" / "inside.png")):
        assert main(["sample", str(tmp_path / "run"), "--out", wrong]) == 2
        said = capsys.readouterr().err
        assert wrong in said
        assert said.count("\n") == 1


def test_a_comparison_goes_on_where_a_game_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ailment = Generation.ailment

    def collapse(task: Generation, losses: dict[str, float]) -> Ailment | None:
        is_lost = task.settings.seed == 0 and task.settings.alpha > 0
        return Ailment("a discriminator that was told to", 1) if is_lost else ailment(task, losses)

    monkeypatch.setattr(Generation, "ailment", collapse)
    config, methods = grid.parse("generation", "digits", [*SMALL, "--method", "kd_dlgan"])
    folder = tmp_path / "compared"
    with pytest.raises(JobsError, match="got a discriminator that was told to at step 0") as caught:
        compare(
            "generation", "digits", config, methods, range(2), folder, command=["distill"], executor=Local(workers=1)
        )
    assert list(caught.value.reasons) == [folder / "runs/kd_dlgan/seed-0"]
    assert all((folder / f"runs/{run}/summary.json").exists() for run in ("no-distillation/seed-1", "kd_dlgan/seed-1"))


@pytest.mark.parametrize("name", recipe.recipes("generation"))
def test_every_recipe_of_ours_is_one(name: str) -> None:
    config = recipe.load("generation", name, ["--device", "cpu"])
    text = run_config("generation", config)
    assert recipe.parse(text, name) == ("generation", config)
    assert Generation.method_of(config) == "vkd_whiten"


def test_a_comparison_of_generation_is_one_of_its_methods() -> None:
    _, methods = grid.parse("generation", "digits", ["--fraction", "0.2"])
    assert [method.name for method in methods] == ["no distillation", *Generation.compared["method"]]
    config, _ = grid.parse("generation", "digits", ["--fraction", "0.2", "--method", "kd_dlgan"])
    assert isinstance(config, GenerationConfig)
    assert config.data.fraction == 0.2


LOSSES = {"adversarial_loss": 1.5, "logit_real": 0.3, "logit_fake": -0.2}


def ailing(game: Game, *, steps: int, **losses: float) -> str:
    found = [game.ailment(LOSSES | losses) for _ in range(steps)]
    assert found[:-1] == [None] * (steps - 1)
    return found[-1].what if found[-1] else ""


@pytest.mark.parametrize(
    ("losses", "said"),
    [
        ({"adversarial_loss": 0.0}, "is always right"),
        ({"adversarial_loss": 2.0}, "says nothing"),
        ({}, ""),
    ],
)
def test_a_discriminator_that_is_stuck_is_named_after_its_patience(losses: dict[str, float], said: str) -> None:
    assert said in ailing(task("--game.patience", "4").game, steps=4, **losses)


def test_a_discriminator_that_recovers_is_left_alone() -> None:
    game = task("--game.patience", "3").game
    for _ in range(4):
        assert ailing(game, steps=2, adversarial_loss=0.0) == ""
        assert game.ailment(LOSSES) is None


def test_logits_that_diverge_are_named_at_once() -> None:
    assert "diverged" in ailing(task().game, steps=1, logit_fake=-1e5)


def test_a_lost_game_ends_with_the_last_good_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Above every loss: the discriminator counts as always right.
    monkeypatch.setattr("distill.generation.game._RIGHT", 1e9)
    with pytest.raises(CollapsedRunError, match="is always right") as caught:
        run_small(tmp_path / "run", "--method", "none", "--game.patience", "5", "--evaluations", "6")
    assert caught.value.step == 4
    assert caught.value.checkpoint is None
    with pytest.raises(NonFiniteLossError):
        run_small(tmp_path / "nan", "--method", "none", "--optimiser.lr", "1e30")
