"""The list of registered models that the browser's decoder has: `python -m tools.browser` after a change of weights."""

from __future__ import annotations

from pathlib import Path

from aecodec.codec.manifest import entries_of
from aecodec.files import write_atomic

HEAD = """// The registered models by their numbers, written by `python -m tools.browser` from weights/manifest.json.

export const MODELS = Object.freeze({
"""


def write_models(browser: Path, weights: Path) -> None:
    """Writes `decoder/models.js` of the folder `browser` from the manifest in `weights`."""
    numbered = sorted((entry.number, entry) for entry in entries_of(weights) if entry.number is not None)
    lines = [f'  {number}: {{ name: "{entry.name}", id: "{entry.weights_id.hex()}" }},\n' for number, entry in numbered]
    write_atomic(browser / "decoder" / "models.js", (HEAD + "".join(lines) + "});\n").encode())


if __name__ == "__main__":
    ROOT = Path(__file__).parents[1]
    write_models(ROOT / "browser", ROOT / "weights")
