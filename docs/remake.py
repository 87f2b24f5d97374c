"""Makes the sample pictures of the pages anew, as `aecodec model land` does.

python docs/remake.py
"""

from __future__ import annotations

from pathlib import Path

from aecodec.bench.samples import write_samples

ROOT = Path(__file__).parents[1]

if __name__ == "__main__":
    write_samples(ROOT / "docs", ROOT / "examples" / "photos", ROOT / "weights")
