"""The browser's decoder in Chromium: in workers, under a strict policy, and as an element of a page."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from aecodec import api
from helpers.chromium import ARGUMENTS
from helpers.chromium import CHROMIUM
from helpers.marks import needs_bundled
from helpers.paths import PHOTOS
from helpers.paths import ROOT
from helpers.paths import TINY
from helpers.site import DECODE
from helpers.site import expected
from helpers.site import served
from helpers.site import write_site
from tools.demo import first_visit
from tools.demo import write_demo

sync_api = pytest.importorskip("playwright.sync_api")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # of the driver's own pipes
    needs_bundled,
]

EMPTY_PAGE = '<!doctype html><html lang="en"><title>test</title><body></body></html>'


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `aecodec browser` writes, and the golden files."""
    folder = tmp_path_factory.mktemp("site")
    write_site(folder)
    (folder / "empty.html").write_text(EMPTY_PAGE, "utf-8")
    (folder / "broken.aec").write_bytes((TINY / "dog-20.aec").read_bytes()[:200])
    (folder / "other").mkdir()
    (folder / "other" / "11ddc256.safetensors").write_bytes(b"no weights")
    return folder


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    with served(site) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def complaints() -> list[str]:
    """What the page's console says; a test that expects some clears it."""
    return []


@pytest.fixture
def page(browser: Any, address: str, complaints: list[str]) -> Iterator[Any]:
    context = browser.new_context()
    context.set_default_timeout(60_000)
    page = context.new_page()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{address}/empty.html")
    yield page
    context.close()
    assert complaints == []


def decode_code(**options: Any) -> str:
    return DECODE.replace("OPTIONS", json.dumps(options))


def add(page: Any, markup: str) -> Any:
    """Adds an element and waits for its `load` or `error` event, whose type it returns."""
    return page.evaluate(
        """async (markup) => {
          await import("/aec-img.js");
          const box = document.createElement("div");
          document.body.append(box);
          box.innerHTML = markup;
          const element = box.firstElementChild;
          return new Promise((resolve) => {
            for (const type of ["load", "error"]) element.addEventListener(type, () => resolve(type));
          });
        }""",
        markup,
    )


def wait_for(page: Any, condition: str) -> None:
    """As playwright's `wait_for_function`, which evaluates a string in the page and so breaks its policy."""
    for _ in range(600):
        if page.evaluate(f"() => Boolean({condition})"):
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"never true: {condition}")


def images(page: Any) -> list[str]:
    """Names of the images that assistive technology finds. Playwright's roles know nothing of ElementInternals."""
    nodes = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    return [node["name"]["value"] for node in nodes if node["role"]["value"] == "image" and not node["ignored"]]


def test_golden_files_have_their_pixels(page: Any) -> None:
    for name, sha256 in expected().items():
        assert page.evaluate(decode_code(), name) == sha256, name


def test_it_runs_in_workers_and_keeps_the_weights(page: Any, address: str) -> None:
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.evaluate(decode_code(), "dog-20.aec")
    assert page.workers and all(worker.url == f"{address}/worker.js" for worker in page.workers)
    weights = f"{address}/weights/11ddc256.safetensors"
    assert requests.count(weights) == 1
    page.reload()
    page.evaluate(decode_code(), "dog-150.aec")
    assert requests.count(weights) == 1


def test_refusals_keep_their_class(page: Any, complaints: list[str]) -> None:
    refusal = """async ([name, options]) => {
      const aec = await import("/aec.js");
      try {
        await aec.decode(await (await fetch(name)).arrayBuffer(), options);
      } catch (error) {
        return [error.name, error.message, error instanceof aec.AecError];
      }
    }"""
    assert page.evaluate(refusal, ["broken.aec", {}])[::2] == ["CorruptFile", True]
    assert page.evaluate(refusal, ["dog-20.aec", {"maxPixels": 9}])[::2] == ["HeaderLimitExceeded", True]
    name, message, _ = page.evaluate(refusal, ["dog-20.aec", {"weights": "/nowhere/"}])
    assert name == "UnknownWeights" and message.endswith("/nowhere/11ddc256.safetensors: HTTP 404")
    name, message, _ = page.evaluate(refusal, ["dog-20.aec", {"weights": "/other/"}])
    assert name == "UnknownWeights" and "damaged, its hash does not begin with 11ddc256" in message
    assert all("404" in line for line in complaints)
    complaints.clear()


def test_an_abort_ends_a_decode_and_leaves_others_alone(page: Any) -> None:
    outcome = page.evaluate(
        """async () => {
          const { decode, configure } = await import("/aec.js");
          configure({ workers: 1 });
          const bytes = await (await fetch("standard-bay-90.aec")).arrayBuffer();
          const [first, second] = [new AbortController(), new AbortController()];
          const options = [{ signal: first.signal }, { signal: second.signal }, {}];
          const all = options.map((own) => decode(bytes, own));
          setTimeout(() => first.abort(), 50);
          second.abort();
          const found = await Promise.allSettled(all);
          return found.map(({ reason, value }) => reason?.name ?? value.width);
        }"""
    )
    assert outcome == ["AbortError", "AbortError", 256]


def test_the_element_acts_like_an_image(page: Any) -> None:
    assert add(page, '<aec-img src="shrunk-90.aec" alt="a dog"></aec-img>') == "load"
    element = page.locator("aec-img")
    assert element.evaluate("e => [e.naturalWidth, e.naturalHeight, e.complete]") == [400, 300, True]
    box = element.bounding_box()
    assert (box["width"], box["height"]) == (400, 300)
    assert images(page) == ["a dog"]
    element.evaluate("e => { e.style.width = '100px'; e.style.height = 'auto'; }")
    box = element.bounding_box()
    assert (box["width"], box["height"]) == (100, 75)
    assert element.evaluate("e => e.toBlob().then(blob => [blob.type, blob.size > 1000])") == ["image/png", True]


def test_attributes_give_its_size_before_there_is_a_file(page: Any) -> None:
    page.evaluate("void (window.fetch = () => new Promise(() => {}))")  # never answered
    page.evaluate("import('/aec-img.js')")
    page.evaluate("document.body.innerHTML = '<aec-img src=car-0.aec alt=x width=120 height=80></aec-img>'")
    box = page.locator("aec-img").bounding_box()
    assert (box["width"], box["height"]) == (120, 80)


def test_it_shows_the_pixels(page: Any) -> None:
    assert add(page, '<aec-img src="car-128.aec" alt=""></aec-img>') == "load"
    found = page.locator("aec-img").evaluate(
        """async (e) => {
          const bitmap = await createImageBitmap(await e.toBlob());
          const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
          const context = canvas.getContext("2d");
          context.drawImage(bitmap, 0, 0);
          return Array.from(context.getImageData(0, 0, bitmap.width, bitmap.height).data);
        }"""
    )
    pixels = bytes(value for at, value in enumerate(found) if at % 4 != 3)
    assert hashlib.sha256(pixels).hexdigest() == expected()["car-128.aec"]
    assert images(page) == []  # decoration


def test_it_fits_into_its_box_as_an_image_does(page: Any) -> None:
    style = "width: 100px; height: 40px; object-fit: cover; object-position: 0 0"
    page.evaluate("document.body.innerHTML = '<aec-img src=dog-20.aec alt=x></aec-img>'")
    page.evaluate(f"document.querySelector('aec-img').style.cssText = '{style}'")
    page.evaluate("import('/aec-img.js')")
    wait_for(page, "document.querySelector('aec-img').complete")
    fit = "e => [e.offsetWidth, e.offsetHeight, getComputedStyle(e.shadowRoot.querySelector('canvas')).objectFit]"
    assert page.locator("aec-img").evaluate(fit) == [100, 40, "cover"]


def test_a_file_over_the_elements_limit_is_refused(page: Any) -> None:
    assert add(page, '<aec-img src="dog-20.aec" alt="a dog" max-pixels="9"></aec-img>') == "error"
    assert "limit" in page.locator("aec-img").get_by_text("a dog: ").text_content()


def test_damaged_weights_are_told_in_the_element(page: Any) -> None:
    assert add(page, '<aec-img src="dog-20.aec" alt="a dog" weights="/other/"></aec-img>') == "error"
    assert page.get_by_text("its hash does not begin with 11ddc256").is_visible()


def test_a_lazy_picture_waits_for_the_window(page: Any) -> None:
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.evaluate("import('/aec-img.js')")
    page.evaluate(
        """document.body.innerHTML = '<div id="space"></div><aec-img src="dog-20.aec" alt="" loading="lazy"></aec-img>';
           document.getElementById("space").style.height = "5000px"; undefined"""
    )
    page.wait_for_timeout(300)
    assert not any("dog-20" in url for url in requests)
    page.locator("aec-img").scroll_into_view_if_needed()
    wait_for(page, "document.querySelector('aec-img').complete")
    assert any("dog-20" in url for url in requests)


def test_a_failure_shows_in_the_element(page: Any, complaints: list[str]) -> None:
    for source, reason in (("gone.aec", "HTTP 404"), ("broken.aec", "checksum"), ("empty.html", "not an .aec file")):
        assert add(page, f'<aec-img src="{source}" alt="a dog"></aec-img>') == "error"
        shown = page.locator(f'aec-img[src="{source}"]')
        assert shown.get_by_text("a dog: ").text_content().count(reason) == 1
    complaints[:] = [line for line in complaints if "404" not in line]


def test_an_old_browser_gets_a_message(page: Any) -> None:
    page.evaluate("void (WebAssembly.validate = () => false)")  # as without SIMD
    assert add(page, '<aec-img src="dog-20.aec" alt=""></aec-img>') == "error"
    assert page.get_by_text("this browser has no WebAssembly SIMD").is_visible()


def test_a_fallback_shows_where_the_picture_cannot(page: Any) -> None:
    fallback = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="
    markup = f'<aec-img src="SOURCE" alt="a"><span id="SOURCE-inside" title="{fallback}">instead</span></aec-img>'
    assert add(page, markup.replace("SOURCE", "broken.aec")) == "error"
    assert page.locator("[id='broken.aec-inside']").is_visible()
    assert add(page, markup.replace("SOURCE", "dog-20.aec")) == "load"
    assert not page.locator("[id='dog-20.aec-inside']").is_visible()


def test_progress_gives_five_pictures(page: Any) -> None:
    shares = page.evaluate(
        """async () => {
          const { decode } = await import("/aec.js");
          const shares = [];
          const onProgress = (image, stage) => shares.push([stage, image.width, image.share]);
          await decode(await (await fetch("car-128.aec")).arrayBuffer(), { onProgress });
          return shares;
        }"""
    )
    assert [stage for stage, _, _ in shares] == [1, 2, 3, 4]
    assert [share for _, _, share in shares] == sorted(share for _, _, share in shares)
    assert add(page, '<aec-img src="car-128.aec" alt="" progressive></aec-img>') == "load"


def test_images_are_upgraded(page: Any, complaints: list[str]) -> None:
    names = page.evaluate(
        """async () => {
          document.body.innerHTML =
            '<img src="dog-20.aec" class="photo" alt="a dog" width="64" height="64"><img src="x.png" alt="">';
          const { upgradeImages } = await import("/aec-img.js");
          const [element] = upgradeImages();
          await element.decode();
          return [element.localName, element.className, element.alt, element.width, document.images.length];
        }"""
    )
    assert names == ["aec-img", "photo", "a dog", 64, 1]
    complaints.clear()  # x.png is not there


def test_the_context_menu_is_that_of_an_image(page: Any) -> None:
    assert add(page, '<aec-img src="dog-20.aec" alt="a dog"></aec-img>') == "load"
    element = page.locator("aec-img")
    element.click(button="right")
    wait_for(page, "document.querySelector('aec-img').shadowRoot.querySelector('img')?.naturalWidth === 256")
    assert element.evaluate("e => e.shadowRoot.querySelector('img').src.startsWith('blob:')")


def test_the_example_page(page: Any, site: Path, address: str, tmp_path: Path) -> None:
    page.goto(f"{address}/index.html")
    wait_for(page, "document.querySelector('aec-img').complete")
    assert page.locator("aec-img").evaluate("e => e.naturalWidth") == 256
    page.locator("input").set_input_files(site / "car-0.aec")
    wait_for(page, "document.querySelectorAll('aec-img')[1]?.naturalWidth === 256")


def test_the_demo_page(page: Any, site: Path, address: str, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    shutil.copy(PHOTOS / "bay.png", tmp_path / "photos")
    lines = (PHOTOS / "ATTRIBUTION.csv").read_text("utf-8").splitlines()
    chosen = [line for line in lines if line.startswith(("file,", "bay.png"))]
    (tmp_path / "photos" / "ATTRIBUTION.csv").write_text("\n".join(chosen) + "\n", "utf-8")
    gallery = write_demo(site / "demo", [tmp_path / "photos"], "standard", (0, 40))
    assert first_visit(site / "demo", gallery)["1 AEC"] == gallery["photos"][0]["bytes"]["aec"][gallery["default"]]
    page.goto(f"{address}/demo/index.html")
    wait_for(page, "document.querySelector('aec-img')?.complete && document.getElementById('count').textContent")
    assert page.locator("figcaption").all_text_contents()[0].startswith(".aec, ")
    assert "patrick janicek, CC BY 2.0. " in page.locator("#credits").text_content()
    page.locator("#quality").fill("0")
    wait_for(page, "document.querySelector('aec-img').src.endsWith('bay-0.aec')")
    page.locator("#bytes").fill("40")
    wait_for(page, "document.getElementById('count').textContent.startsWith('40 of ')")
    taken = tmp_path / "demo.png"
    command = [sys.executable, "-m", "tools.demo", str(site / "demo"), "--screenshot", str(taken)]
    subprocess.run(command, cwd=ROOT, check=True, stderr=subprocess.DEVNULL)
    assert Image.open(taken).size == (832, 832)


def test_a_page_answers_while_a_gallery_decodes(page: Any, site: Path) -> None:
    data = (site / "standard-bay-default.aec").read_bytes()
    assert api.decode(data).size == (256, 256)
    took, pause = page.evaluate(
        """async () => {
          await import("/aec-img.js");
          const source = "standard-bay-default.aec";
          const first = document.createElement("aec-img");
          first.src = source;
          document.body.append(first);
          await first.decode();
          let [last, longest] = [performance.now(), 0];
          const start = last;
          const timer = setInterval(() => {
            const now = performance.now();
            longest = Math.max(longest, now - last);
            last = now;
          }, 4);
          const pictures = Array.from({ length: 48 }, () => document.createElement("aec-img"));
          for (const picture of pictures) picture.src = source;
          document.body.append(...pictures);
          await Promise.all(pictures.map((picture) => picture.decode()));
          clearInterval(timer);
          return [performance.now() - start, longest];
        }"""
    )
    print(f"48 pictures in {took:.0f} ms, longest pause {pause:.0f} ms")
    assert pause < took / 3
