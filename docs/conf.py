"""Settings of the documentation site: `make docs` builds it from the pages that the code host shows as they are.

The whole repository is the source folder, so a link between two Markdown files is the same on both. What the site
adds to a page (the contents, the recipes, the API) is generated where the page says `<!-- site: … -->`.
"""

import sys
from pathlib import Path

from sphinx.application import Sphinx

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from _sphinx import docstrings, pages  # noqa: E402 - the line above makes it importable

project = "stiefel-distill"
root_doc = "README"
include_patterns = ["*.md", "docs/**.md", "benchmarks/**.md"]
exclude_patterns = [".*", "build", "dist", "runs", "docs/_build", "**/__pycache__"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary"]
myst_heading_anchors = 4
myst_enable_extensions = ["html_image"]

default_role = "code"
smartquotes = False  # it would turn the two hyphens of a flag into a dash
autosummary_generate = False
autodoc_inherit_docstrings = False
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
add_module_names = False

html_theme = "furo"
html_title = "stiefel-distill"
html_static_path = ["_sphinx/static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False


def setup(app: Sphinx) -> None:
    """Connect what generates text and pages."""
    app.connect("source-read", pages.fill)
    app.connect("autodoc-process-docstring", docstrings.to_rst)
    app.connect("autodoc-process-signature", docstrings.shorten)
    app.connect("build-finished", pages.write_index)
