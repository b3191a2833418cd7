"""What is compared: recipe keys with several values span a grid, and every run of it that differs is one entry."""

import string
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from itertools import product
from typing import Any

from distill import recipe as recipes
from distill import tasks
from distill.config import Config, flat
from distill.errors import RecipeError
from distill.results import BASELINE, BETWEEN

HELP = """several values of a key, --alpha 1,10 or --alpha 1 --alpha 10, span a grid with those of other keys. Each
combination is run, and those that come to the same run (a linear projector, whatever the parameterisation) once.
Given again, a key takes each value whole: so does `layers`, whose values hold commas themselves, in any case.
Without a grid of other keys a linear projector, for detection token matching, stands beside the orthogonal ones,
which are by default those of exponential, cayley and riemannian; of generation, its methods stand beside each other.
No distillation is always run too: gains are measured over it. A weight that a --method sets to 0 stays 0.
"""

# The method that every task has, of the labels alone.
_NONE = "none"
# Their values say what they are of.
_SAID_ALONE = ("method", "projector", "parameterisation")
_HOLDS_COMMAS = "layers"
# What stays in a folder's name, and what becomes a dash there without being missed. File systems take 255 bytes.
_KEPT, _PARTING = {*string.ascii_letters, *string.digits, *"_-.,=+"}, {*BETWEEN}
_LONGEST = 100


@dataclass(frozen=True)
class Entry:
    """One method of a comparison.

    keys: the recipe keys, nested ones with dots, that make it out of the config that all share. over: the entry that
    its gain is measured over, its own name for one without distillation. varied: what it is in the grid's words.
    """

    name: str
    keys: Mapping[str, Any]
    over: str = BASELINE
    varied: Mapping[str, str] = field(default_factory=dict)

    @property
    def slug(self) -> str:
        """The name as a folder's name, with a digest if it is long or has letters that folders don't."""
        plain = "".join(letter if letter in _KEPT else "-" for letter in self.name)
        if len(plain) <= _LONGEST and {*self.name} <= _KEPT | _PARTING:
            return plain
        return f"{plain[:_LONGEST]}-{sha256(self.name.encode()).hexdigest()[:8]}"


@dataclass(frozen=True)
class _Run:
    """One combination. varied: its values. effective: the keys that matter to it. without: those without distillation.

    method: what the task calls it.
    """

    varied: Mapping[str, str]
    config: Config
    effective: str
    without: str
    method: str

    @property
    def is_baseline(self) -> bool:
        return self.effective == self.without


def parse(task: str, recipe: str, words: Sequence[str]) -> tuple[Config, list[Entry]]:
    """Return the config that all runs share and the entries, those without distillation first.

    words: recipe keys as flags, over the recipe, some with several values.
    Raises: RecipeError for a grid that distils nothing, and what `distill.recipe.load` raises.
    """
    values = _values(words)
    if "seed" in values:
        raise RecipeError("seed", "a key that isn't compared", "--seed", cure="it is what the comparison varies")
    axes = {key: several for key, several in values.items() if len(several) > 1}
    if not {"method", "projector"} & values.keys() and axes.keys() <= {"parameterisation"}:
        given = {key: several for key, several in values.items() if key == "parameterisation"}
        axes = {**tasks.get(task).compared, **given}
    fixed = {key: several[0] for key, several in values.items() if key not in axes}
    runs = [
        run
        for combination in product(*axes.values())
        for run in _runs(task, recipe, fixed, dict(zip(axes, combination, strict=True)))
    ]
    groups: dict[str, list[_Run]] = {}
    for run in sorted(runs, key=lambda run: not run.is_baseline):  # a stable sort
        groups.setdefault(run.effective, []).append(run)
    distilled = next((run for run in runs if not run.is_baseline), None)
    if distilled is None:
        cure = "give alpha a weight above 0, or a --method that distils"
        raise RecipeError("alpha", "at least one run with distillation", 0, cure=cure)
    return distilled.config, _entries(groups, distilled.config)


def _values(words: Sequence[str]) -> dict[str, list[str]]:
    """Return the values of each key: given once they are separated by commas, given again each is taken whole."""
    given: dict[str, list[str]] = {}
    rest = iter(words)
    for word in rest:
        flag, equals, value = word.partition("=")
        if not flag.startswith("--"):
            raise RecipeError(word, "a flag --key value", word)
        key = flag.removeprefix("--")
        found = value if equals else next(rest, None)
        if found is None:
            raise RecipeError(key, "a value", "nothing")
        given.setdefault(key, []).append(found)
    for key, several in given.items():
        is_split = len(several) == 1 and key.split(".")[-1] != _HOLDS_COMMAS
        given[key] = list(dict.fromkeys(value.strip() for value in (several[0].split(",") if is_split else several)))
    return given


def _runs(task: str, recipe: str, fixed: Mapping[str, str], varied: Mapping[str, str]) -> list[_Run]:
    """Return the run without distillation and the run with it, both of one combination."""
    kind = tasks.get(task)

    def load(keys: Mapping[str, str]) -> Config:
        # Last comes what a method leaves out: beside none, --alpha is a weight of the others.
        of_method = flat(kind.methods.get(keys.get("method", ""), {}))
        left_out = [f"--{key}={value}" for key, value in of_method.items() if value == 0]
        return recipes.load(task, recipe, [*(f"--{key}={value}" for key, value in keys.items()), *left_out])

    without = load({**fixed, **varied, "method": _NONE})
    baseline = str(_effective(without, kind.idle(without)))
    runs = []
    for config in (without, load({**fixed, **varied})):
        idle = kind.idle(config)
        told = {key: value for key, value in varied.items() if key not in idle}
        runs.append(_Run(told, config, str(_effective(config, idle)), baseline, kind.method_of(config)))
    return runs


def _effective(config: Config, idle: Sequence[str]) -> dict[str, Any]:
    return {
        key: value
        for key, value in flat(asdict(config)).items()
        if not any(key == other or key.startswith(f"{other}.") for other in idle)
    }


def _entries(groups: Mapping[str, Sequence[_Run]], shared: Config) -> list[Entry]:
    alike = {text: _alike([run.varied for run in runs]) for text, runs in groups.items()}
    for text, runs in groups.items():
        if runs[0].is_baseline:  # how it came to have none is said by its name
            alike[text] = {key: value for key, value in alike[text].items() if key not in ("method", "alpha", "gamma")}
    names = {
        text: _name(alike[text], list(alike.values()), BASELINE if runs[0].is_baseline else "") or runs[0].method
        for text, runs in groups.items()
    }
    before = flat(asdict(shared))
    entries = []
    for text, runs in groups.items():
        keys = {key: value for key, value in flat(asdict(runs[0].config)).items() if before[key] != value}
        entries.append(Entry(names[text], keys, names[runs[0].without], alike[text]))
    return entries


def _alike(several: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Return the values that all have: what differs between runs that come to the same doesn't matter to them."""
    return {key: value for key, value in several[0].items() if all(each.get(key) == value for each in several)}


def _name(varied: Mapping[str, str], all_varied: Sequence[Mapping[str, str]], start: str) -> str:
    """Return `start` and what tells an entry from the others, leaving out what a name in the rest of it implies."""
    kept = {key: varied[key] for key in sorted(varied, key=lambda key: key not in _SAID_ALONE)}
    for key, value in varied.items():
        rest = {other: kept[other] for other in kept if other != key}
        alike = [each for each in all_varied if rest.items() <= each.items()]
        if not rest.keys().isdisjoint(_SAID_ALONE) and all(each.get(key) == value for each in alike):
            kept = rest
    keys = {key for each in all_varied for key in each}
    words = [value if key in _SAID_ALONE else f"{_short(key, keys)} {value}" for key, value in kept.items()]
    return BETWEEN.join([start, *words] if start else words)


def _short(key: str, keys: Collection[str]) -> str:
    """Return the last word of a key, unless another key that varies ends with it too."""
    last = key.split(".")[-1]
    return last if [each.split(".")[-1] for each in keys].count(last) == 1 else key
