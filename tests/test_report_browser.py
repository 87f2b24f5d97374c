"""The report in a real browser, as a person uses it: by mouse, by keyboard, on a phone, in the dark."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aecodec.bench import format_json
from aecodec.bench.report import match_originals
from aecodec.bench.report import view_page
from helpers.chromium import ARGUMENTS
from helpers.chromium import CHROMIUM
from helpers.codecs import HOSTILE
from helpers.codecs import make_report
from helpers.marks import needs_bundled
from helpers.paths import GOLDEN
from helpers.site import write_decoding_page

pytest.importorskip("matplotlib")
sync_api = pytest.importorskip("playwright.sync_api")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # of the driver's own pipes
]

MINUS = "\u2212"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A report and the JSON of the same run."""
    page = tmp_path_factory.mktemp("pictures") / "report.html"
    result, text = make_report(page.parent)
    page.write_text(text, "utf-8")
    return page, json.loads(format_json(result))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


class Opened:
    """A page in a new browser context; none may complain by a console message, an error or a request for more."""

    def __init__(self, browser: Any, file: Path, **context: Any) -> None:
        self.context = browser.new_context(**context)
        self.context.set_default_timeout(30_000)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message) or dialog.dismiss())
        self.page.on("request", self._requested)
        self.own = file.as_uri()
        self.page.goto(self.own)

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *error: object) -> None:
        self.context.close()
        assert self.complaints == []

    def _requested(self, request: Any) -> None:
        if request.url != self.own and not request.url.startswith(("data:", "blob:")):
            self.complaints.append(request.url)


@pytest.fixture
def opened(browser: Any, written: tuple[Path, dict[str, Any]]) -> Iterator[Opened]:
    with Opened(browser, written[0], viewport={"width": 1400, "height": 900}) as opened:
        yield opened


def number(text: str) -> float:
    return float(text.replace(",", "").replace(MINUS, "-").replace("+", "").replace("%", "").strip())


def cells(page: Any, table: str) -> list[list[str]]:
    return page.eval_on_selector_all(f"{table} tbody tr", "rows => rows.map(r => [...r.cells].map(c => c.textContent))")


def test_every_image_is_shown(opened: Opened) -> None:
    page = opened.page
    for version in ("original", "aecodec", "JPEG", "WebP"):
        page.get_by_label("Version on the left").select_option(label=version)
        image = page.locator(".layer img").last
        image.evaluate("image => image.decode()")
        assert image.evaluate("image => image.naturalWidth") == 176


def test_the_tables_equal_the_json(opened: Opened, written: tuple[Path, dict[str, Any]]) -> None:
    page, result = opened.page, written[1]
    page.locator("summary").click()
    rows = cells(page, "#rows")
    assert len(rows) == len(result["rows"])
    for shown, row in zip(rows, result["rows"], strict=True):
        assert [number(cell) for cell in shown[1:8]] == [
            pytest.approx(row["quality"], abs=0.05),
            pytest.approx(row["size_bytes"], abs=0.5),
            pytest.approx(row["bits_per_pixel"], abs=5e-4),
            pytest.approx(row["psnr"], abs=5e-3),
            pytest.approx(row["ms_ssim"], abs=5e-5),
            pytest.approx(row["l1"], abs=5e-5),
            pytest.approx(1000 * row["encode_seconds"], abs=0.05),
        ]
    rates = {(rate["peer"], rate["metric"]): rate["percent"] for rate in result["bd_rates"]}
    for shown, peer in zip(cells(page, "#rates-table"), ("jpeg", "webp"), strict=True):
        for cell, metric in zip(shown[1:], ("psnr", "ms_ssim"), strict=True):
            percent = rates[peer, metric]
            assert cell == "\u2013" if percent is None else number(cell) == pytest.approx(percent, abs=0.05)
    for shown, speed in zip(cells(page, "#speed-table"), result["speeds"], strict=True):
        assert number(shown[1]) == pytest.approx(speed["encode_megapixels"], rel=0.01, abs=5e-3)
        assert number(shown[2]) == pytest.approx(speed["decode_megapixels"], rel=0.01, abs=5e-3)


def test_the_table_of_pictures_equals_the_json_and_sorts(opened: Opened, written: tuple[Path, dict[str, Any]]) -> None:
    page, result = opened.page, written[1]
    own = {m["picture"]: m for m in result["measurements"] if (m["codec"], m["quality"]) == ("aecodec", 50)}
    peers = {(m["picture"], m["codec"]): m for m in result["equal_bytes"]}
    rows = cells(page, "#pictures-table")
    assert [row[0] for row in rows] == list(own)
    for row in rows:
        assert number(row[2]) == own[row[0]]["size_bytes"]
        for cell, codec in zip(row[-2:], ("jpeg", "webp"), strict=True):
            peer = peers[row[0], codec]
            fits = peer["size_bytes"] <= own[row[0]]["size_bytes"]
            assert not fits or number(cell) == pytest.approx(own[row[0]]["psnr"] - peer["psnr"], abs=5e-3)
            assert fits or cell == "\u2013"
    heading = page.locator("#pictures-table th button", has_text="bytes").first
    heading.click()
    sizes = [number(row[2]) for row in cells(page, "#pictures-table")]
    assert sizes == sorted(sizes, reverse=True)
    heading.press("Enter")  # by keyboard, the other way round
    assert [number(row[2]) for row in cells(page, "#pictures-table")] == sizes[::-1]
    assert heading.locator("xpath=..").get_attribute("aria-sort") == "ascending"


def test_the_divider_moves_by_mouse_and_keyboard(opened: Opened) -> None:
    page = opened.page
    divider = page.get_by_role("slider")
    frame = page.locator(".stage-frame").bounding_box()
    page.mouse.move(frame["x"] + frame["width"] / 2, frame["y"] + 50)
    page.mouse.down()
    page.mouse.move(frame["x"] + frame["width"] / 4, frame["y"] + 50, steps=3)
    page.mouse.up()
    assert divider.get_attribute("aria-valuenow") == "25"
    clip = page.locator(".layer").last.evaluate("layer => getComputedStyle(layer).clipPath")
    assert clip.startswith("inset(0px calc(100% - ")
    assert number(clip.split("- ")[1].split("px")[0]) == pytest.approx(frame["width"] / 4, abs=1)
    divider.press("ArrowRight")
    assert divider.get_attribute("aria-valuenow") == "27"
    divider.press("Shift+ArrowLeft")
    divider.press("Home")
    assert divider.get_attribute("aria-valuenow") == "0"
    divider.press("End")
    assert divider.get_attribute("aria-valuenow") == "100"


def test_zoom_shows_pixels_and_scrolls(opened: Opened) -> None:
    page = opened.page
    width = "element => element.getBoundingClientRect().width"
    for name, scale in (("1×", 1), ("2×", 2), ("4×", 4)):
        page.get_by_role("button", name=name).click()
        assert page.locator(".canvas").evaluate(width) == 176 * scale
        image = page.locator(".layer img").first
        assert image.evaluate(width) == pytest.approx(176 * scale)
        assert image.evaluate("image => getComputedStyle(image).imageRendering") == "pixelated"
    page.keyboard.press("0")
    assert page.get_by_role("button", name="Fit").get_attribute("aria-pressed") == "true"


def test_pictures_and_the_original_by_keyboard(opened: Opened) -> None:
    page = opened.page
    names = page.locator("select.which option").all_text_contents()
    assert HOSTILE in names
    page.keyboard.press("n")
    assert page.locator(".count").text_content().startswith("2 of 3")
    page.keyboard.press("p")
    assert page.locator(".count").text_content().startswith("1 of 3")
    page.keyboard.down("o")
    assert page.locator(".tag.left").text_content() == page.locator(".tag.right").text_content() == "original"
    page.keyboard.up("o")
    assert page.locator(".tag.right").text_content() == "aecodec"
    page.locator("#pictures-table button.see", has_text=HOSTILE).click()
    assert page.locator("select.which").input_value() == str(names.index(HOSTILE))


def test_a_mark_in_a_chart_tells_its_figures(opened: Opened, written: tuple[Path, dict[str, Any]]) -> None:
    page, row = opened.page, written[1]["rows"][2]
    mark = page.locator("#point-psnr-2")
    mark.scroll_into_view_if_needed()
    box = mark.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tip = page.locator("#tip").text_content()
    assert "aecodec, quality 50" in tip
    assert f"PSNR {row['psnr']:.2f}" in tip


def test_light_and_dark(browser: Any, written: tuple[Path, dict[str, Any]]) -> None:
    background = "() => getComputedStyle(document.body).backgroundColor"
    colours = {}
    for scheme in ("light", "dark"):
        with Opened(browser, written[0], color_scheme=scheme) as opened:
            colours[scheme] = opened.page.evaluate(background)
            other = {"light": "Dark", "dark": "Light"}[scheme]
            opened.page.get_by_text(other, exact=True).click()
            colours[f"{scheme} switched"] = opened.page.evaluate(background)
    assert colours["light"] != colours["dark"]
    assert colours["light switched"] == colours["dark"]
    assert colours["dark switched"] == colours["light"]


def test_a_phone_scrolls_down_only_and_a_finger_moves_the_divider(
    browser: Any, written: tuple[Path, dict[str, Any]]
) -> None:
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    with Opened(browser, written[0], **phone) as opened:
        page = opened.page
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        page.locator(".stage-frame").scroll_into_view_if_needed()
        frame = page.locator(".stage-frame").bounding_box()
        page.touchscreen.tap(frame["x"] + frame["width"] * 0.75, frame["y"] + 40)
        assert page.get_by_role("slider").get_attribute("aria-valuenow") == "75"


def test_view_of_a_file_with_and_without_its_original(browser: Any, tmp_path: Path) -> None:
    file = GOLDEN / "tiny" / "dog-150.aec"
    page = tmp_path / "page.html"
    page.write_text(view_page(match_originals([file], [])), "utf-8")
    with Opened(browser, page) as opened:
        shown = opened.page
        assert shown.get_by_role("slider").count() == 0
        assert shown.locator("h1").text_content() == "dog-150.aec"
        assert shown.locator("h2, p:empty").count() == 0
        assert shown.locator(".hint").text_content().strip() == "0 1 2 4 zoom"
        sizes = shown.locator("dd[data-field=size_bytes]").all_text_contents()
        assert {number(size) for size in sizes} == {file.stat().st_size}
        shown.get_by_role("button", name="4×").click()
        assert shown.locator("section").count() == 1


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, np.ndarray]]:
    return write_decoding_page(tmp_path_factory.mktemp("embedded"))


def shown_pixels(page: Any) -> np.ndarray:
    """What the canvas shows, once it shows anything."""
    canvas = page.locator(".layer canvas").first
    for _ in range(600):
        found = canvas.evaluate(
            """(canvas) => {
              const options = { willReadFrequently: true };
              const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", options);
              copy.drawImage(canvas, 0, 0);
              const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
              return [canvas.height, canvas.width, Array.from(data)];
            }"""
        )
        if found[2][3]:
            return np.array(found[2], np.uint8).reshape(found[0], found[1], 4)
        page.wait_for_timeout(100)
    raise AssertionError("nothing is shown")


@needs_bundled
def test_a_page_that_decodes_shows_the_pixels_of_python(
    browser: Any, embedded: tuple[Path, dict[str, np.ndarray]]
) -> None:
    with Opened(browser, embedded[0], offline=True) as opened:
        page = opened.page
        for name in (*embedded[1], "0.aec"):  # the first one once more, from those that are kept
            page.get_by_label("Picture", exact=True).select_option(label=name)
            found, expected = shown_pixels(page), embedded[1][name]
            assert (found[:, :, 3] == 255).all()
            assert (found[:, :, :3] == (expected if expected.ndim == 3 else expected[:, :, None])).all(), name
        assert page.locator("img").count() == 0


WITHOUT_SIMD = """
  const whole = Blob;
  Blob = function (parts, options) {
    return new whole(options ? ["WebAssembly.validate = () => false;", ...parts] : parts, options);
  };
"""


@needs_bundled
@pytest.mark.parametrize(
    ("lacking", "reason"),
    [
        (WITHOUT_SIMD, "this browser has no WebAssembly SIMD"),
        ("delete window.DecompressionStream", "no DecompressionStream"),
        ("delete window.Worker", "Worker is not defined"),
    ],
)
def test_a_browser_that_cannot_decode_says_so(
    browser: Any, embedded: tuple[Path, dict[str, np.ndarray]], tmp_path: Path, lacking: str, reason: str
) -> None:
    page = tmp_path / "page.html"
    text = embedded[0].read_text("utf-8")
    page.write_text(text.replace("</head>", f"<script>{lacking}</script></head>"), "utf-8")
    with Opened(browser, page) as opened:
        line = opened.page.locator(".layer .failed").first
        assert reason in line.text_content()


@needs_bundled
def test_a_page_whose_weights_are_damaged_says_so(
    browser: Any, embedded: tuple[Path, dict[str, np.ndarray]], tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    text = embedded[0].read_text("utf-8")
    start = re.search(r'"weights":\{"\w{8}":"', text)
    assert start is not None
    page.write_text(f"{text[: start.end()]}!{text[start.end() + 1 :]}", "utf-8")
    with Opened(browser, page) as opened:
        assert "cannot be decoded here" in opened.page.locator(".layer .failed").first.text_content()
