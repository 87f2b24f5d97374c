"""The decoder in JavaScript and WebAssembly that comes with aecodec, as files and as one script."""

from __future__ import annotations

import re
from pathlib import Path

from aecodec.errors import AecError

_COMMENTS = re.compile(r"^ */\*\*[\s\S]*?\*/\n|^ *//.*\n|^\n|^ +", re.MULTILINE)
_IMPORT = re.compile(r'^import (\{[^}]*\}) from "(.*)";$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function\*?|class|const) (\w+))", re.MULTILINE)


def web_folder() -> Path:
    """The folder `browser` of the installation or of the checkout. Raises AecError if there is none."""
    package = Path(__file__).parent
    for folder in (package / "browser", package.parent / "browser"):
        if folder.is_dir():
            return folder
    raise AecError("this installation of aecodec has no files for browsers")


def without_comments(script: str) -> str:
    """A script without comments and indentation, which are a fifth of it even when compressed."""
    return _COMMENTS.sub("", script)


def one_script(module: str) -> str:
    """A module of the folder with all that it imports, as a classic script: a page that is one file can hold it.

    Each module becomes a function that returns its exports. What is imported in the course of the work, by `import()`,
    is left out: zstd, for alpha and metadata.
    """
    folder = web_folder()
    functions: dict[Path, str] = {}

    def name_of(path: Path) -> str:
        return f"module_{path.stem.replace('-', '_')}"

    def add(path: Path) -> None:
        if path in functions:
            return
        text = without_comments(path.read_text("utf-8"))
        for _, address in _IMPORT.findall(text):
            add((path.parent / address).resolve())
        body = _IMPORT.sub(lambda found: f"const {found[1]} = {name_of((path.parent / found[2]).resolve())};", text)
        exports = ", ".join(_EXPORT.findall(body))
        functions[path] = f"const {name_of(path)} = (() => {{\n{_EXPORT.sub('', body)}return {{ {exports} }};\n}})();\n"

    add((folder / module).resolve())
    return "".join(functions.values())
