"""The comparison as a page and as a table: `report.html` is one self-contained file that opens offline."""

from distill.report.page import write_page
from distill.report.table import console_table

__all__ = ["console_table", "write_page"]
