"""The browser's decoder in Firefox as it is installed: a page decodes the golden files and sends what it found."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from helpers.marks import needs_bundled
from helpers.site import DECODE
from helpers.site import Handler
from helpers.site import expected
from helpers.site import served
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

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(FIREFOX is None, reason="no Firefox on this machine"),
    needs_bundled,
]


def test_golden_files_and_the_element(tmp_path: Path) -> None:
    write_site(tmp_path / "site")
    script = SCRIPT.replace("DECODE", DECODE.replace("OPTIONS", "{}")).replace("NAMES", json.dumps(list(expected())))
    (tmp_path / "site" / "test.js").write_text(script, "utf-8")
    (tmp_path / "site" / "test.html").write_text(PAGE, "utf-8")
    found: dict[str, Any] = {}
    done = Event()

    class Listening(Handler):
        def do_POST(self) -> None:
            found.update(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()
            done.set()

    with served(tmp_path / "site", Listening) as address:
        (tmp_path / "profile").mkdir()
        command = [str(FIREFOX), "--headless", "--no-remote", "--profile", str(tmp_path / "profile")]
        firefox = subprocess.Popen(
            [*command, f"{address}/test.html"],
            env={**os.environ, "HOME": str(tmp_path), "MOZ_DISABLE_CONTENT_SANDBOX": "1"},  # as root in a container
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            assert done.wait(PATIENCE), "Firefox sent nothing"
        finally:
            firefox.terminate()
            firefox.wait(30)
    assert {name: found.get(name) for name in expected()} == expected()
    assert found["element"] == [400, 300, "image/png"]
    assert found["gone"] == f"{address}/gone.aec: HTTP 404"
