"""The browser's decoder in Firefox as it is installed: a page decodes the golden files and sends what it found."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest

from helpers.marks import needs_bundled
from helpers.site import DECODE
from helpers.site import Handler
from helpers.site import expected
from helpers.site import served
from helpers.site import write_decoding_page
from helpers.site import write_site

FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")
PATIENCE = 240  # seconds

PAGE = '<!doctype html><html lang="en"><title>test</title><script type="module" src="test.js"></script></html>'
SCRIPT = """
import "/aec-img.js";
const hashOf = DECODE;
const found = {};
try {
  for (const name of NAMES) found[name] = await hashOf(name).catch(String);
  document.body.innerHTML = '<aec-img src="shrunk-90.aec" alt="a dog"></aec-img>';
  const element = document.querySelector("aec-img");
  await element.decode();
  found.element = [element.offsetWidth, element.offsetHeight, (await element.toBlob()).type];
  element.src = "gone.aec";
  found.gone = await element.decode().catch((error) => error.message);
} catch (error) {
  found.failure = String(error);
}
await fetch("/found", { method: "POST", body: JSON.stringify(found) });
"""

# Waits until the page shows its first picture, and sends that.
FROM_A_FILE = """
const timer = setInterval(() => {
  const canvas = document.querySelector(".layer canvas");
  const { width, height, data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  if (!data[3]) return;
  clearInterval(timer);
  const text = btoa(Array.from(data, (byte) => String.fromCharCode(byte)).join(""));
  fetch("ADDRESS/found", { method: "POST", mode: "no-cors", body: JSON.stringify({ width, height, data: text }) });
}, 100);
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(FIREFOX is None, reason="no Firefox on this machine"),
    needs_bundled,
]


@contextmanager
def listening(folder: Path) -> Iterator[tuple[str, Callable[[str], dict[str, Any]]]]:
    """The address at which the folder is served, and a function that opens a page until it sends what it found."""
    found: dict[str, Any] = {}
    done = Event()

    class Listening(Handler):
        def do_POST(self) -> None:
            found.update(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()
            done.set()

    def opened(page: str) -> dict[str, Any]:
        profile = folder / "profile"
        profile.mkdir()
        firefox = subprocess.Popen(
            [str(FIREFOX), "--headless", "--no-remote", "--profile", str(profile), page],
            env={**os.environ, "HOME": str(folder), "MOZ_DISABLE_CONTENT_SANDBOX": "1"},  # as root in a container
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            assert done.wait(PATIENCE), "Firefox sent nothing"
        finally:
            firefox.terminate()
            firefox.wait(30)
        return found

    with served(folder, Listening) as address:
        yield address, opened


def test_golden_files_and_the_element(tmp_path: Path) -> None:
    write_site(tmp_path)
    script = SCRIPT.replace("DECODE", DECODE.replace("OPTIONS", "{}")).replace("NAMES", json.dumps(list(expected())))
    (tmp_path / "test.js").write_text(script, "utf-8")
    (tmp_path / "test.html").write_text(PAGE, "utf-8")
    with listening(tmp_path) as (address, opened):
        found = opened(f"{address}/test.html")
    assert {name: found.get(name) for name in expected()} == expected()
    assert found["element"] == [400, 300, "image/png"]
    assert found["gone"] == f"{address}/gone.aec: HTTP 404"


def test_a_page_from_a_file_decodes(tmp_path: Path) -> None:
    page, pixels = write_decoding_page(tmp_path)
    text = page.read_text("utf-8").replace("default-src 'none'", "default-src 'none'; connect-src http:", 1)
    with listening(tmp_path) as (address, opened):
        script = FROM_A_FILE.replace("ADDRESS", address)
        page.write_text(text.replace("</body>", f"<script>{script}</script></body>"), "utf-8")
        found = opened(page.as_uri())
    shown = np.frombuffer(base64.b64decode(found["data"]), np.uint8).reshape(found["height"], found["width"], 4)
    assert (shown[:, :, :3] == pixels["0.aec"][:, :, None]).all()
