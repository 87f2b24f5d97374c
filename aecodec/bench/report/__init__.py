"""The bench's result as one HTML page that needs nothing else, and the same viewer for given files."""

from __future__ import annotations

from aecodec.bench.report.build import bench_page
from aecodec.bench.report.build import check
from aecodec.bench.report.view import match_originals
from aecodec.bench.report.view import view_page

__all__ = ["bench_page", "check", "match_originals", "view_page"]
