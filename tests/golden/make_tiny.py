"""Made the permanent test network in `tiny/`, once: a small untrained `standard`, seeded.

Unit tests and permanent golden files use it; it is never made again, since another torch may seed differently.

    python tests/golden/make_tiny.py tests/golden/tiny
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np
import torch

from aecodec.codec.architectures import standard
from aecodec.codec.manifest import add_entry
from aecodec.image.reading import open_picture
from aecodec.train.export import export
from aecodec.train.model import CONFIGS
from aecodec.train.model import AutoEncoder
from aecodec.train.model import start_from_components
from aecodec.train.rescale import give_headroom

PHOTOS = Path(__file__).parents[2] / "examples" / "photos"


def main(out: Path) -> None:
    torch.manual_seed(20261124)
    model = AutoEncoder(CONFIGS["standard"], standard(16, 1, 1, entropy_width=16))
    pictures = [open_picture(path).pixels for path in sorted(PHOTOS.glob("*.jpg"))]
    generator = np.random.default_rng(1)
    corners = generator.integers(0, 240, (2000, 3))
    patches = [pictures[n % len(pictures)][y : y + 16, x : x + 16] for n, y, x in corners]
    start_from_components(model, np.stack(patches))
    x = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255
    model.calibrate(x, (torch.arange(len(x)) + 0.5) / len(x))
    give_headroom(model)
    halves = export(model, pictures)
    out.mkdir(parents=True, exist_ok=True)
    entry: dict[str, object] = {"name": "tiny", "id": halves.weights_id.hex(), "recipe": "untrained, seeded; for tests"}
    for part, data in (("decoder", halves.decoder), ("encoder", halves.encoder)):
        (out / f"tiny.{part}.safetensors").write_bytes(data)
        entry[part] = {"file": f"tiny.{part}.safetensors", "sha256": hashlib.sha256(data).hexdigest()}
    add_entry(out, entry)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
