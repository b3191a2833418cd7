"""Generation: a GAN learns from few images, its discriminator from a frozen teacher too."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from distill.data import Source
from distill.errors import RecipeError
from distill.generation import distillation, game_rules, methods, teachers, validation
from distill.generation.config import GenerationConfig
from distill.generation.data import real_images, source_keys, write_names
from distill.generation.encoders import Encoder
from distill.generation.extractors import Extractor, spread
from distill.generation.game import CHANCES, Game
from distill.generation.metrics import check_counts, judge
from distill.generation.models import Discriminator, Generator, build
from distill.generation.pictures import between, save_grid
from distill.generation.turns import DiscriminatorTurn, GeneratorTurn
from distill.metric import Metric
from distill.processes import Processes
from distill.task import Ailment, Player, RecipeTask, seeded

GENERATOR, DISCRIMINATOR = "generator", "discriminator"
# Streams of random numbers under a run's seed, beside those of the order of images.
_GAME, _EVALUATION = 3, 4
# Images in one forward pass of an evaluation; it bounds memory and changes no result.
_BATCH = 256
_GRID = 64
_WAYS, _STOPS = 4, 8


class Generation(RecipeTask):
    """A step is `game.turns` updates of the discriminator, then one of the generator."""

    config: ClassVar = GenerationConfig
    methods: ClassVar[Mapping[str, Mapping[str, Any]]] = methods.METHODS
    compared: ClassVar[Mapping[str, Sequence[str]]] = {"method": ("kd_dlgan", "vkd_standardise", "vkd_whiten")}
    short: ClassVar = {"fraction": "data.fraction"}
    # Whose features the distance is in, the judge's label says.
    metric = Metric("fid", "Fréchet distance", is_higher_better=False)
    # The last weights of a game go up and down; published figures are the average's.
    is_average_judged = True

    def __init__(
        self, config: GenerationConfig, encoder: Encoder | None, judge_folder: Path | None, processes: Processes
    ):
        self.settings, self.processes, self._judge_folder = config, processes, judge_folder
        train, reference = real_images(config.data, seed=config.seed, reference=config.metrics.reference)
        train, self.reference = (images.to(str(processes.device)) for images in (train, reference))
        self.train = train
        self._check_images()
        batches = train.batches(config.data.batch_size, config.seed, source_keys(config.data))
        self.batches = batches if processes.world == 1 else batches.shard(processes.rank, processes.world)
        self.classes = train.classes if config.game.conditional else 0
        with seeded(config.seed):
            generator, discriminator = build(config.game.networks, self.classes, train.image_size, train.channels)
        self.game = _game(config, generator, discriminator, encoder, train).to(processes.device)
        self.module, self.kept = self.game, self.game.generator

    @property
    def steps_per_epoch(self) -> int:
        return max(1, self.batches.per_epoch // self.settings.game.turns)

    def batch(self, step: int) -> dict[str, Tensor]:
        """Return the step's turns stacked along the first axis; the generator's has no real images."""
        turns = self.settings.game.turns
        real = [self.batches[step * turns + turn] for turn in range(turns)]
        batch = {"pixels": torch.stack([each["pixels"] for each in real])}
        if self.classes:
            batch["labels"] = torch.stack([each["labels"] for each in real])
        count = batch["pixels"].shape[1]
        batch |= self._drawn(step, turns + 1, count)
        batch |= {name: torch.zeros(turns + 1, count) for name in self._penalties(step)}
        return {name: rows.to(self.processes.device) for name, rows in batch.items()}

    def indices(self, step: int) -> list[int]:
        turns = self.settings.game.turns
        return [index for turn in range(turns) for index in self.batches.indices(step * turns + turn)]

    def players(self) -> Mapping[str, Player]:
        game = self.game
        judging = [game.discriminator] + ([] if game.distillation is None else [game.distillation])
        return {
            DISCRIMINATOR: Player(DiscriminatorTurn(game), nn.ModuleList(judging)),
            GENERATOR: Player(GeneratorTurn(game), game.generator),
        }

    def turns(self, batch: dict[str, Tensor]) -> Iterable[tuple[str, dict[str, Tensor]]]:
        for turn in range(self.settings.game.turns + 1):
            own = {name: rows[turn] for name, rows in batch.items() if turn < len(rows)}
            yield DISCRIMINATOR if "pixels" in own else GENERATOR, own

    def ailment(self, losses: Mapping[str, float]) -> Ailment | None:
        return self.game.ailment(losses)

    def parts(self) -> Mapping[str, Sequence[nn.Module]]:
        parts = {GENERATOR: [self.game.generator], DISCRIMINATOR: [self.game.discriminator]}
        distillation = self.game.distillation
        return parts if distillation is None else {**parts, "teacher": [self.game.encoder], **distillation.parts()}

    def evaluate(self) -> dict[str, float]:
        figures = self.processes.first(self._judged)
        return figures | ({} if self.game.distillation is None else self.game.distillation.figures())

    def depict(self, folder: Path, step: int) -> None:
        write_names(self.train, folder / "images.txt")
        images = torch.cat(list(self.samples(_GRID)))
        save_grid(images, int(_GRID**0.5), folder / "samples" / f"step-{step:08d}.png")
        first, last = self._latents(2 * _WAYS).chunk(2)
        labels = self._labels(_WAYS)
        path = self._made(
            between(first, last, _STOPS).flatten(0, 1), None if labels is None else labels.repeat_interleave(_STOPS)
        )
        save_grid(path, _STOPS, folder / "samples" / "interpolation.png")

    def train_judge(self) -> None:
        """Train the network that judges samples, which runs share as they do the teacher, if it isn't yet."""
        _ = self._extractor

    def samples(self, count: int) -> Iterator[Tensor]:
        """Yield batches of `count` generated images, the same at every call but for the weights."""
        latents, labels = self._latents(count), self._labels(count)
        for start in range(0, count, _BATCH):
            part = slice(start, start + _BATCH)
            yield self._made(latents[part], None if labels is None else labels[part])

    @classmethod
    def choices(cls) -> Mapping[str, Sequence[str]]:
        return {**validation.choices(), **game_rules.choices()}

    @classmethod
    def validate(cls, config: GenerationConfig) -> None:
        validation.validate(config)
        game_rules.validate(config)

    @classmethod
    def notes(cls, config: GenerationConfig) -> list[str]:
        if config.metrics.extractor == "inception":
            return []
        return [f"The Fréchet distance is in the features of a {config.data.name} classifier, and is no FID."]

    @classmethod
    def idle(cls, config: GenerationConfig) -> list[str]:
        return game_rules.idle(config)

    @classmethod
    def teacher_of(cls, config: GenerationConfig) -> str:
        # The judge lies beside the teacher, and is made from the same images.
        return teachers.recipe_of(config)

    @classmethod
    def prepare(cls, config: GenerationConfig, teacher_folder: Path, processes: Processes) -> "Generation":
        teachers.check_judge(config)
        train, _ = real_images(config.data, seed=config.seed)
        encoder = teachers.encoder_of(config, train, teacher_folder, processes) if config.alpha > 0 else None
        judge_folder = teacher_folder.with_name(f"judge{teacher_folder.name.removeprefix('teacher')}")
        task = cls(config, encoder, judge_folder, processes)
        processes.first(task.train_judge)
        return task

    @classmethod
    def untaught(cls, config: GenerationConfig) -> "Generation":
        train, _ = real_images(config.data, seed=config.seed)
        encoder = teachers.untaught(config, train) if config.alpha > 0 else None
        return cls(config, encoder, None, Processes(device=config.device, is_alone=True))

    def _check_images(self) -> None:
        """Raise RecipeError or MetricError for too few images or classes, before anything is trained."""
        config = self.settings
        validation.check_classes(config, self.train.classes)
        size, parts = config.data.batch_size, config.scale.devices * config.scale.accumulate
        if min(size, len(self.train)) % parts:
            few = f"at most the {len(self.train)} images that are learnt from, a multiple of {parts} parts"
            raise RecipeError("data.batch_size", few, size)
        samples = config.metrics.samples
        check_counts(min(len(self.reference), samples), samples, config.metrics)

    @cached_property
    def _extractor(self) -> Extractor:
        alone = Processes(device=self.settings.device, is_alone=True)
        if self._judge_folder is not None:
            return teachers.judge_of(self.settings, self._judge_folder, alone)
        with TemporaryDirectory() as folder:  # the same judge, trained once more
            return teachers.judge_of(self.settings, Path(folder) / "judge", alone)

    def _judged(self) -> dict[str, float]:
        keys = self.settings.metrics
        compared = self.reference.subset(spread(len(self.reference), keys.samples))
        real = (batch["pixels"] for batch in compared.evaluation(_BATCH))
        return judge(self._extractor, real, self.samples(keys.samples), keys)

    @torch.no_grad()
    def _made(self, latents: Tensor, labels: Tensor | None) -> Tensor:
        generator = self.game.generator
        was_training = generator.training
        generator.eval()
        images = generator(latents, labels)
        generator.train(was_training)
        return images

    def _latents(self, count: int) -> Tensor:
        generator = _generator(self.settings.seed, _EVALUATION)
        return torch.randn(count, self.game.generator.latent_dim, generator=generator).to(self.processes.device)

    def _labels(self, count: int) -> Tensor | None:
        return torch.arange(count, device=self.processes.device) % self.classes if self.classes else None

    def _drawn(self, step: int, turns: int, count: int) -> dict[str, Tensor]:
        """Return what is drawn for a step: every process draws the whole batch's and takes its slice."""
        generator, processes = _generator(self.settings.seed, _GAME, step), self.processes
        whole = (turns, count * processes.world)
        drawn = {
            "latent": torch.randn(*whole, self.game.generator.latent_dim, generator=generator),
            "chances": torch.rand(*whole, 2 * CHANCES, generator=generator),
            "noise_seed": torch.randint(2**31, whole, generator=generator),
        }
        if self.classes:
            drawn["fake_labels"] = torch.randint(self.classes, whole, generator=generator)
        mine = slice(processes.rank * count, (processes.rank + 1) * count)
        return {name: rows[:, mine] for name, rows in drawn.items()}

    def _penalties(self, step: int) -> list[str]:
        game = self.settings.game
        due = {"r1": game.r1 > 0 and step % game.r1_every == 0, "path": game.path > 0 and step % game.path_every == 0}
        return [name for name, is_due in due.items() if is_due]


def _game(
    config: GenerationConfig, generator: Generator, discriminator: Discriminator, encoder: Encoder | None, train: Source
) -> Game:
    if encoder is None:
        return Game(config.game, generator, discriminator, None, None)
    texts = teachers.texts_of(config, encoder, train) if config.distillation == "kd_dlgan" else None
    # A stream of its own: whatever the distillation draws, every method's networks start from the same weights.
    with seeded(config.seed + 1):
        taught = distillation.build(config, discriminator.feature_dim, encoder.dim, texts=texts)
    return Game(config.game, generator, discriminator, taught, encoder)


def _generator(*key: int) -> torch.Generator:
    # torch's generator keeps the low 32 bits of its seed and drops the rest.
    return torch.Generator().manual_seed(int(np.random.SeedSequence(key).generate_state(1)[0]))
