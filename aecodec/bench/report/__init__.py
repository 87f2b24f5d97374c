"""HTML pages that need no network: a report of the bench, and a viewer for given files.

In: a bench result, or `.aec` files with their originals. Out: one self-contained page.
"""

from __future__ import annotations

from aecodec.bench.report.build import bench_page
from aecodec.bench.report.build import check
from aecodec.bench.report.view import match_originals
from aecodec.bench.report.view import view_page

__all__ = ["bench_page", "check", "match_originals", "view_page"]
