"""A comparison as a page, as tables and as raw figures: `report.html` is one self-contained file."""

from pathlib import Path

from distill.report.page import page
from distill.report.raw import as_csv, as_json
from distill.report.table import console_table
from distill.results import Comparison
from distill.run_folder import write_atomically

PAGE, RESULTS, RUNS = "report.html", "comparison.json", "comparison.csv"

__all__ = ["PAGE", "RESULTS", "RUNS", "console_table", "write"]


def write(comparison: Comparison, folder: Path) -> None:
    """Write a comparison's page and its figures, as JSON and as CSV with a line a run, into a folder."""
    write_atomically(folder / PAGE, page(comparison))
    write_atomically(folder / RESULTS, as_json(comparison))
    write_atomically(folder / RUNS, as_csv(comparison))
