"""A web site with the browser's decoder and the golden files, served under a strict policy."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np

from aecodec import api
from aecodec.cli import run
from helpers.golden import all_expected
from helpers.paths import TINY

POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'; style-src 'self'; "
    "img-src 'self' blob:"
)

# Pixels of a file without the channels that RGBA adds to the mode, and their hash. OPTIONS are those of `decode`.
DECODE = """async (name) => {
  const { decode } = await import("/aec.js");
  const bytes = await (await fetch(name)).arrayBuffer();
  const { data, mode } = await decode(bytes, OPTIONS);
  const channels = { L: [0], LA: [0, 3], RGB: [0, 1, 2], RGBA: [0, 1, 2, 3] }[mode];
  const out = new Uint8Array((data.length / 4) * channels.length);
  for (let at = 0, to = 0; at < data.length; at += 4) for (const channel of channels) out[to++] = data[at + channel];
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", out));
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
}"""


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder under the policy, without a log."""

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", POLICY)
        super().end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


@contextmanager
def served(folder: Path, handler: type[Handler] = Handler) -> Iterator[str]:
    """The address at which the folder is served."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder))) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def write_site(folder: Path) -> None:
    """What `aecodec browser` writes, the tiny weights, and the golden files."""
    assert run(["browser", str(folder), "--all-models", "--quiet"]) == 0
    shutil.copy(TINY / "tiny.decoder.safetensors", folder / "weights" / "11ddc256.safetensors")
    for path in all_expected():
        shutil.copy(path, folder)
    (folder / "favicon.ico").write_bytes(b"")  # which browsers ask for


def expected() -> dict[str, str]:
    """Hashes of the golden files' pixels."""
    return {path.name: own["pixels_sha256"] for path, own in all_expected().items()}


def write_decoding_page(folder: Path) -> tuple[Path, dict[str, np.ndarray]]:
    """A page of `aecodec view` of so many files that it decodes them itself, and their pixels by name."""
    files = [folder / f"{number}.aec" for number in range(8)]
    rng = np.random.default_rng(0)
    for number, file in enumerate(files):
        pixels = rng.integers(0, 256, (200, 300 + number, 3), np.uint8)
        file.write_bytes(api.encode(pixels if number else pixels[:, :, 0], 90, model="light", compact=number % 2 > 0))
    page = folder / "page.html"
    assert run(["view", *map(str, files), "--out", str(page)]) == 0
    return page, {file.name: np.asarray(api.decode(file.read_bytes())) for file in files}
