"""`.aec` files that a page decodes itself. Code and weights stand in it once, so this pays from some pictures on."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Sequence
from typing import Any

from aecodec.bench.report.viewer import WINDOW_SIDES
from aecodec.bench.report.viewer import windows
from aecodec.codec import manifest
from aecodec.info import Info
from aecodec.info import read_info
from aecodec.web import one_script
from aecodec.web import web_folder

MOST_PIXELS = WINDOW_SIDES[0] ** 2  # of a picture that the page decodes whole


def embed(shown: Sequence[dict[str, Any]], files: Sequence[bytes]) -> dict[str, object] | None:
    """Replaces pictures of `shown` by their files if that makes the page smaller; returns what the page decodes with.

    Only for files that the page decodes to Python's pixels by itself: of a registered model, coded at the size that
    they are shown at, and without alpha and metadata.
    """
    by_weights: dict[str, list[tuple[dict[str, Any], bytes]]] = {}
    for picture, data in zip(shown, files, strict=True):
        info = read_info(data)
        if info.weights_id is not None and _is_plain(info):
            by_weights.setdefault(info.weights_id, []).append((picture, data))
    code = {
        "script": _packed(one_script("worker.js").encode()),
        "wasm": _packed((web_folder() / "aec.wasm").read_bytes()),
    }
    gained = -sum(map(len, code.values()))
    weights = {}
    for weights_id, pairs in by_weights.items():
        gain = sum(len(_own(picture)["src"]) - len(_base64(data)) for picture, data in pairs)
        if gain > 0 and gain > len(packed := _packed(_weights(weights_id))):
            weights[weights_id] = packed
            gained += gain - len(packed)
    if gained <= 0:
        return None
    for weights_id in weights:
        for picture, data in by_weights[weights_id]:
            _replace(picture, data)
    return {**code, "weights": weights}


def _is_plain(info: Info) -> bool:
    registered = info.model is not None and manifest.find_by_name(info.model).number is not None
    extras = info.alpha_bytes + info.icc_bytes + info.exif_bytes + info.xmp_bytes
    return registered and not extras and (info.coded_width, info.coded_height) == (info.width, info.height)


def _own(picture: dict[str, Any]) -> dict[str, Any]:
    side: dict[str, Any] = picture["sides"][picture["right"]]
    return side


def _replace(picture: dict[str, Any], data: bytes) -> None:
    """The file in the place of its picture, which alone is no longer cut to fit the page, but to be decoded soon."""
    side, window = _own(picture), picture["window"]
    if len(picture["sides"]) == 1:
        found = (own for own in windows(picture["width"], picture["height"]) if own[2] * own[3] <= MOST_PIXELS)
        window.update(zip(("left", "top", "width", "height"), next(found), strict=True))
    side |= {"image_width": window["width"], "image_height": window["height"], "aec": _base64(data)}
    del side["src"]


def _weights(weights_id: str) -> bytes:
    entry = manifest.find_by_id(bytes.fromhex(weights_id))
    return manifest.read_regular(entry.folder / entry.decoder_file)


def _packed(data: bytes) -> str:
    return _base64(gzip.compress(data, 9, mtime=0))


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
