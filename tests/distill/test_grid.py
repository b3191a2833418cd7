"""A grid of recipe keys: which runs it has, what they are called, what they are measured over."""

import pytest

from distill import grid
from distill.config import changed, flat
from distill.errors import RecipeError
from distill.grid import Entry
from distill.results import BASELINE


def entries(*words: str) -> list[Entry]:
    return grid.parse("classification", "digits", words)[1]


def names(*words: str) -> list[str]:
    return [entry.name for entry in entries(*words)]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", ["linear", "exponential", "cayley", "riemannian"]),
        ("--parameterisation cayley,qr", ["linear", "cayley", "qr"]),
        ("--parameterisation cayley", ["linear", "cayley"]),
        ("--parameterisation=qr --parameterisation cayley", ["linear", "qr", "cayley"]),
        ("--projector mlp", ["mlp"]),
        ("--projector orthogonal", ["vkd"]),
        ("--projector linear,orthogonal --parameterisation cayley,qr,cayley", ["linear", "cayley", "qr"]),
        ("--alpha 1,10", ["alpha 1", "alpha 10"]),
        ("--alpha 0,10", ["alpha 10"]),
        ("--method vkd,soft,none --alpha 1,10", ["vkd · alpha 1", "vkd · alpha 10", "soft"]),
        ("--method vkd,srd --parameterisation cayley,qr", ["cayley", "qr", "srd"]),
        (
            "--projector linear,mlp --normalise none,whiten",
            [
                *("linear · normalise none", "linear · normalise whiten"),
                *("mlp · normalise none", "mlp · normalise whiten"),
            ],
        ),
    ],
)
def test_names_say_what_varies_and_runs_that_come_to_the_same_are_one(words: str, expected: list[str]) -> None:
    assert names(*words.split()) == [BASELINE, *expected]


def test_a_student_that_varies_has_a_run_without_distillation_of_each_kind() -> None:
    found = entries("--alpha", "1,10", "--student.width", "32,64")
    over = {entry.name: entry.over for entry in found}
    assert len(found) == 6
    assert over["alpha 10 · width 64"] == "no distillation · width 64"
    assert over["no distillation · width 32"] == "no distillation · width 32"


def test_inner_keys_are_called_by_their_last_word_unless_two_have_the_same() -> None:
    assert names("--student.width", "32,64", "--projector", "mlp")[2:] == ["width 32", "width 64"]
    assert "student.width 32 · teacher.width 8" in names("--student.width", "32,64", "--teacher.width", "8,16")


def test_values_with_commas_stay_whole_and_are_several_by_repeating_the_key() -> None:
    layers = "blocks.0=stages.1,final"
    config, found = grid.parse("classification", "digits", ["--layers", layers, "--projector", "linear,mlp"])
    assert flat({"layers": layers}).items() <= vars(config).items()
    assert len(found) == 3
    assert names("--layers", layers, "--layers", "final") == [BASELINE, f"layers {layers}", "layers final"]


def test_an_entry_s_keys_make_its_config_of_the_shared_one() -> None:
    config, found = grid.parse("classification", "digits", ["--student.width", "32,64", "--method", "vkd,srd"])
    widths = {entry.name: changed(config, entry.keys).student.width for entry in found}
    losses = {entry.name: changed(config, entry.keys).loss for entry in found}
    assert widths["srd · width 64"] == 64
    assert widths["vkd · width 32"] == 32
    assert losses["srd · width 64"] == "logsum"


def test_entries_have_folders_of_their_own_whose_names_any_file_system_takes() -> None:
    assert [Entry(name, {}).slug for name in ("no distillation", "alpha 1.5 · width 32", "lr 1e+3")] == [
        *("no-distillation", "alpha-1.5---width-32", "lr-1e+3")
    ]
    alike = ["lr 1e-3", "lr 1e+3", "path a/b", "path a-b", "path ä", "path ö", "p" * 300, "p" * 301, "ä" * 300]
    slugs = [Entry(name, {}).slug for name in alike]
    assert len({*slugs}) == len(slugs)
    assert all(slug.isascii() and "/" not in slug and len(slug) < 128 for slug in slugs)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("--alpha 0", "alpha"),
        ("--method none", "distil"),
        ("--seed 1,2", "seed"),
        ("--alpha 1,x", "'x'"),
        ("--alpha 1,,2", "alpha"),
        ("--parameterisation cayley,foo", "foo"),
        ("--method vkd,foo", "foo"),
        ("--wrong 1,2", "wrong"),
        ("--alpha", "nothing"),
        ("alpha 1", "alpha"),
    ],
)
def test_a_grid_that_cannot_be_run_is_refused(words: str, part: str) -> None:
    with pytest.raises(ValueError, match=part):
        entries(*words.split())


def test_no_distillation_alone_is_a_recipe_s_error() -> None:
    with pytest.raises(RecipeError, match="at least one run with distillation"):
        entries("--alpha", "0")
