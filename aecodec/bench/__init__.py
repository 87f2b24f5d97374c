"""Measures aecodec beside JPEG, WebP, AVIF and JPEG XL.

In: a folder of pictures. Out: figures from whole files, as a table, CSV, JSON or a page. Metrics use NumPy, peers
Pillow.
"""

from __future__ import annotations

from aecodec.bench.result import BenchResult
from aecodec.bench.result import format_csv
from aecodec.bench.result import format_json
from aecodec.bench.run import PEER_NAMES
from aecodec.bench.run import BenchOptions
from aecodec.bench.run import run_bench
from aecodec.bench.table import format_table

__all__ = ["PEER_NAMES", "BenchOptions", "BenchResult", "format_csv", "format_json", "format_table", "run_bench"]
