"""The decoder for browsers, in Node and headless Chromium, beside Python's: one picture, a gallery, and a cold page.

    python benchmarks/browser.py [--rounds 25]

It takes Node, Chromium and the package playwright. A picture of 256x256 is decoded by `standard` and by `light` on one
thread: by NumPy and by this processor's kernels in this process, by Node, and in Chromium by one worker of a page, with
the messages to it and back. All take turns, so that a machine that is busy with something else slows all of them. The
gallery is every photograph of examples/, its weights already there, with as many workers as `aec.js` takes by itself.
Its pause is the longest time in which the page runs no timer. The first picture of a cold page counts from the
navigation, over plain HTTP from this machine, with nothing cached.
"""

from __future__ import annotations

import argparse
import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # before NumPy reads them

import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
from playwright.sync_api import Browser
from playwright.sync_api import Page
from playwright.sync_api import sync_playwright

from aecodec.bench.environment import describe
from aecodec.cli import run
from aecodec.codec import manifest
from aecodec.codec.decoder import decode_picture
from aecodec.codec.weights import load_decoder
from aecodec.native import library
from aecodec.network.choice import cpu_runtime

ROOT = Path(__file__).parents[1]
PHOTOS = sorted(path for name in ("photos", "gallery") for path in (ROOT / "examples" / name).glob("*.[jp][pn]g"))
PHOTO = "church"  # 256x256
MODELS = ("standard", "light")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking")
PAGE = '<!doctype html><html lang="en"><title>benchmark</title><link rel="icon" href="data:,"><body></body></html>'
COLD_PAGE = """<script>
  const note = ({ target }) => target.localName === "aec-img" && (window.shown = performance.now());
  document.addEventListener("load", note, true);
</script>
<script type="module" src="aec-img.js"></script>
<aec-img src="SOURCE" alt=""></aec-img>"""

# Answers each line of its input, the name of a model, with milliseconds.
NODE = """
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
const [folder, file] = process.argv.slice(1);
const { decode } = await import(folder + "aec.js");
for await (const model of createInterface({ input: process.stdin })) {
  const bytes = readFileSync(new URL(`${folder}${model}/${file}`));
  const start = performance.now();
  await decode(bytes);
  console.log(performance.now() - start);
}
"""
PICTURE = """async (address) => {
  const { configure, decode } = await import("/aec.js");
  configure({ workers: 1 });
  const bytes = await (await fetch(address)).arrayBuffer();
  const start = performance.now();
  await decode(bytes);
  return performance.now() - start;
}"""
GALLERY = """async ({ first, names }) => {
  await import("/aec-img.js");
  const add = (src) => Object.assign(document.body.appendChild(document.createElement("aec-img")), { src });
  await Promise.all([first, first].map((name) => add(name).decode())); // two, so that two workers have the weights
  let [last, longest] = [performance.now(), 0];
  const start = last;
  const timer = setInterval(() => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
  }, 1);
  await Promise.all(names.map((name) => add(name).decode()));
  clearInterval(timer);
  return [performance.now() - start, longest];
}"""


class Handler(SimpleHTTPRequestHandler):
    """Serves without a log."""

    def log_message(self, *arguments: object) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address at which the folder is served."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def write_site(folder: Path) -> None:
    """Code, weights, and the photographs by each model in a folder of its own."""
    models = [word for model in MODELS for word in ("--model", model)]
    assert run(["browser", str(folder), *models, "--quiet"]) == 0
    for model in MODELS:
        paths = [str(path) for path in PHOTOS]
        assert run(["encode", *paths, "--model", model, "--out-dir", str(folder / model), "--quiet"]) == 0
        (folder / f"cold-{model}.html").write_text(PAGE + COLD_PAGE.replace("SOURCE", f"{model}/{PHOTO}.aec"), "utf-8")
    (folder / "empty.html").write_text(PAGE, "utf-8")


def in_python(name: str, model: str, path: Path) -> Callable[[], float]:
    """A call that decodes by the runtime of this name."""
    os.environ[library.VARIABLE] = name
    runtime, entry, data = cpu_runtime(), manifest.find_by_name(model), path.read_bytes()

    def call() -> float:
        os.environ[library.VARIABLE] = name  # the range coder, too, is chosen by it
        started = time.perf_counter()
        decode_picture(data, runtime, lambda _: load_decoder(entry))
        return 1000 * (time.perf_counter() - started)

    return call


def in_node(process: subprocess.Popen[str], model: str) -> float:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{model}\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def one_picture(folder: Path, node: subprocess.Popen[str], page: Page, rounds: int) -> None:
    """Prints a table of a single picture: each decoder with medians and minima."""
    kernels = [name for name in library.SETS if not isinstance(library.kernel_set_named(name), str)][:1]
    calls: dict[tuple[str, str], Callable[[], float]] = {}
    for model in MODELS:
        path = folder / model / f"{PHOTO}.aec"
        for name in ("numpy", *kernels):
            calls[name, model] = in_python(name, model, path)
        calls["Node", model] = partial(in_node, node, model)
        calls["Chromium", model] = partial(page.evaluate, PICTURE, f"{model}/{PHOTO}.aec")
    taken: dict[tuple[str, str], list[float]] = {key: [] for key in calls}
    for _ in range(rounds + 3):
        for key, call in calls.items():
            taken[key].append(call())
    found = {key: (statistics.median(times[3:]), min(times[3:])) for key, times in taken.items()}
    print(f"one picture of 256x256, medians and minima of {rounds} turns, in ms and over NumPy's for {MODELS[0]}:")
    for name in ("numpy", *kernels, "Node", "Chromium"):
        told = []
        for model in MODELS:
            own, base = found[name, model], found["numpy", MODELS[0]]
            told.append(f"{model} {own[0]:.1f} and {own[1]:.1f} ({own[0] / base[0]:.2f} and {own[1] / base[1]:.2f})")
        print(f"  {name:<12} {'; '.join(told)}")


def gallery(browser: Browser, address: str, model: str, rounds: int) -> None:
    """Prints how long a page takes to show all photographs, once its weights are there."""
    names = [f"{model}/{path.stem}.aec" for path in PHOTOS]
    found = []
    for _ in range(rounds):
        context = browser.new_context()
        page = context.new_page()
        page.goto(f"{address}/empty.html")
        found.append(page.evaluate(GALLERY, {"first": f"{model}/{PHOTO}.aec", "names": names}))
        context.close()
    times, pauses = zip(*found, strict=True)
    said = f"median {statistics.median(times):.0f} ms, least {min(times):.0f}"
    pause = f"its longest pause {statistics.median(pauses):.0f} and {min(pauses):.0f}"
    print(f"gallery of {len(names)}, {model}: {said}; {pause}")


def cold(browser: Browser, address: str, model: str, rounds: int) -> None:
    """Prints when a page that was never visited shows its first picture."""
    times = []
    for _ in range(rounds):
        context = browser.new_context()
        page = context.new_page()
        page.goto(f"{address}/cold-{model}.html")
        times.append(page.wait_for_function("window.shown").json_value())
        context.close()
    print(f"first picture of a cold page, {model}: median {statistics.median(times):.0f} ms, least {min(times):.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=25, help="turns of a single picture; a fifth of it for pages")
    rounds = parser.parse_args().rounds
    with (
        tempfile.TemporaryDirectory() as name,
        served(folder := Path(name)) as address,
        sync_playwright() as playwright,
    ):
        write_site(folder)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        command = ["node", "--input-type=module", "-e", NODE, f"{folder.as_uri()}/", f"{PHOTO}.aec"]
        node = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
        print(f"{describe().processor}, NumPy {np.__version__}, Node {version}, Chromium {browser.version}")
        page = browser.new_page()
        page.goto(f"{address}/empty.html")
        one_picture(folder, node, page, rounds)
        node.terminate()
        page.close()
        for model in MODELS:
            gallery(browser, address, model, max(1, rounds // 5))
            cold(browser, address, model, max(1, rounds // 5))
        browser.close()


if __name__ == "__main__":
    main()
