"""`aecodec view`."""

from __future__ import annotations

import tempfile
import webbrowser
from pathlib import Path

import click

from aecodec.cli import PATH
from aecodec.cli import fail
from aecodec.cli.common import UNUSUAL_NAMES
from aecodec.cli.common import write_target
from aecodec.errors import AecError
from aecodec.errors import OutputError


@click.command()
@click.argument("files", nargs=-1, required=True, type=PATH, metavar="FILE...")
@click.option("--original", "originals", multiple=True, type=PATH, metavar="PICTURE", help="What a file was made from.")
@click.option("--text", is_flag=True, help="Each FILE is base64url text.")
@click.option("-o", "--out", type=PATH, metavar="PAGE", help="Write the page here, and open no browser.")
def view(files: tuple[Path, ...], originals: tuple[Path, ...], text: bool, out: Path | None) -> int:
    """Open `.aec` files in the browser, with their sizes and settings.

    With --original, repeatable, each file is shown beside the picture of the same name, with PSNR, MS-SSIM and L1.
    The page is one file that needs no network. With many files, it holds them and decodes them itself.

    \b
    aecodec view out.aec --original in.jpg
    aecodec view *.aec --out page.html

    A FILE that fails is left out of the page. The exit code is that of the last FILE that fails, else 0.
    """
    from aecodec.bench.report import match_originals
    from aecodec.bench.report import view_page

    if out is not None and out.exists() and any(path.exists() and path.samefile(out) for path in (*files, *originals)):
        raise OutputError(f"{out}: is an input itself")
    exit_code = 0

    def left_out(error: AecError) -> None:
        nonlocal exit_code
        exit_code = fail(str(error), error.exit_code)

    page = view_page(match_originals(files, originals), text, left_out).encode(errors=UNUSUAL_NAMES)
    if page and out is not None:
        write_target(out, page)
    elif page:
        _open(page)
    return exit_code


def _open(page: bytes) -> None:
    """Shows the page in the browser, or says where it is. It stays there: the browser reads it after this command."""
    from aecodec.files import write_atomic

    path = Path(tempfile.mkdtemp(prefix="aecodec-")) / "view.html"
    write_atomic(path, page)
    opened = webbrowser.open(path.as_uri())
    click.echo(f"{path}: opened in the browser" if opened else f"{path}: open it in a browser")
