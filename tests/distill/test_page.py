"""The page of a comparison: self-contained, and in order on a screen and on a phone."""

import re
from pathlib import Path

import pytest
from chromium import FOUND, Browser, browser
from comparisons import comparison

from distill.report.page import page
from distill.results import Comparison


@pytest.fixture(scope="module")
def found() -> Comparison:
    return comparison(
        no_distillation=[0.80, 0.82, 0.81],
        linear=[0.80, 0.84, 0.80],
        cayley=[0.90, 0.92, 0.91],
        **{"a_very_long_name_such_as_my.package.of.maps:ParameterisationOfMine,_normalise_whiten": [0.8, 0.8, 0.8]},
    )


def test_it_is_self_contained_and_escapes_what_it_is_given(found: Comparison) -> None:
    text = page(found)
    assert text.count("<figure>") == 7  # gains, three courses, cost, loss, defect
    assert text.count('role="img"') == 2 * 7
    assert "&lt;classification&gt;" in text
    assert re.findall(r"""(?:src|href)=["'](?!data:|#)[^"']*""", text) == []
    assert "@import" not in text
    assert text.count("V100 times are predicted.") == 3  # beside the course, the costs and the runs


def test_the_same_comparison_is_the_same_page(found: Comparison) -> None:
    assert page(found) == page(found)


def test_seeds_whose_budget_bought_different_numbers_of_evaluations_are_drawn(found: Comparison) -> None:
    found.methods[0].runs[0].evaluations[:] = found.methods[0].runs[0].evaluations[:1]
    assert "<figure>" in page(found)


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory):
    if FOUND is None:
        pytest.skip("no Chromium is installed")
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.mark.parametrize("width", [1100, 360])
def test_a_browser_shows_it_without_complaint_and_without_sideways_scrolling(
    tab: Browser, found: Comparison, width: int, tmp_path: Path
) -> None:
    (tmp_path / "report.html").write_text(page(found), encoding="utf-8")
    tab.open(tmp_path / "report.html", width=width)
    assert tab.complaints == []
    assert tab.value("document.documentElement.scrollWidth") == width
    # Every chosen course is drawn, and of its two drawings the one for this width.
    drawn = "[...document.querySelectorAll('.tabs figure svg:not(.look)')]"
    visible = f"{drawn}.filter(each => each.clientWidth > 0).length"
    for course in (1, 2, 3):
        tab.value(f"document.getElementById('course-{course}').click()")
        assert tab.value(visible) == 1
    letters = "[...document.querySelectorAll('svg:not(.look) text')].map(each => each.getBoundingClientRect().height)"
    assert tab.value(f"Math.min(...{letters}.filter(each => each > 0))") >= 11  # CSS pixels of a line of letters
    tab.picture(tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 20_000
