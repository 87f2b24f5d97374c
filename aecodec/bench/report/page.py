"""The page: a template filled with a style sheet, scripts, charts, and the data that the scripts show.

The markup holds nothing from outside: texts and figures are JSON, which the scripts insert as text. A policy in the
page forbids the browser to load anything but the images within it.
"""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from importlib import resources
from string import Template

from aecodec.bench.result import json_value

SCRIPTS = ("dom.js", "viewer.js", "tables.js", "page.js")
DECODING = " 'wasm-unsafe-eval'; worker-src blob:"  # what the policy allows a page that decodes


def fill_page(title: str, data: dict[str, object], charts: Sequence[str] = ()) -> str:
    """The whole page as text. `data`: plain values, shown by `page.js`; with a "decoder", which the page then uses."""
    decodes = "decoder" in data
    template = Template(_part("page.html"))
    return template.substitute(
        title=html.escape(title),
        style=_part("page.css"),
        script="\n".join(_part(name) for name in (*["decoder.js"] * decodes, *SCRIPTS)),
        decoding=DECODING if decodes else "",
        charts="\n".join(charts),
        data=_script_safe(json.dumps(json_value(data), allow_nan=False, separators=(",", ":"))),
    )


def _part(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text("utf-8")


def _script_safe(text: str) -> str:
    """JSON that can neither end the script element around it nor begin a comment."""
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
