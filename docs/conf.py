"""Settings of the documentation, which `sphinx-build -W docs build/docs` builds."""

from __future__ import annotations

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import aecodec

project = "aecodec"
release = aecodec.__version__
language = "en"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_copybutton"]
exclude_patterns = ["samples.md"]  # included by quality.md

html_theme = "furo"
html_title = f"aecodec {release}"
html_static_path = ["static"]
html_css_files = ["samples.css"]
html_show_sphinx = False
html_show_copyright = False

myst_heading_anchors = 3
myst_disable_syntax = ["html_inline"]  # "<x/>" in a docstring is text
default_role = "literal"  # single backticks in docstrings
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
autodoc_mock_imports = ["torch"]  # what a data set is made of need not be installed to read of it

# Pages that are read on their own, too, link to files beside docs/; here those files are pages.
PAGES = {"../SECURITY.md": "security.md"}


def link_to_pages(app: object, docname: str, source: list[str]) -> None:
    for file, page in PAGES.items():
        source[0] = source[0].replace(f"]({file})", f"]({page})")


def mark_code(app: object, what: str, name: str, found: object, options: object, lines: list[str]) -> None:
    """An indented block in a docstring is code: reStructuredText wants two colons before it."""
    marked = re.sub(r"\n\n(?=    \S)", "\n\n::\n\n", "\n".join(lines))
    lines[:] = marked.splitlines()


def setup(app: object) -> None:
    app.connect("source-read", link_to_pages)  # type: ignore[attr-defined]
    app.connect("autodoc-process-docstring", mark_code)  # type: ignore[attr-defined]
