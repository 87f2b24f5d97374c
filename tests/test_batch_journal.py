"""Nothing is called done that is not, and no original is replaced: the journal of an output folder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from aecodec.cli import run
from helpers.batch import code
from helpers.batch import encode
from helpers.batch import pictures
from helpers.folders import contents


def test_two_inputs_with_one_output_are_reported_across_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two, out = pictures(tmp_path / "1", a_png=50), pictures(tmp_path / "2", a_png=200), tmp_path / "out"
    assert encode(one, "--out-dir", out, "--quiet") == 0
    assert encode(two / "a.png", "--out-dir", out, "--quiet") == 1
    wanted = (
        f"aecodec: {two / 'a.png'}: its output {out / 'a.aec'} was made from {one / 'a.png'}; --force replaces it\n"
    )
    assert capsys.readouterr().err == wanted
    assert (out / "a.aec").read_bytes() == code(50)
    assert encode(two, "--out-dir", out, "--force") == 0
    assert (out / "a.aec").read_bytes() == code(200)
    assert encode(one, "--out-dir", out) == 1
    (two / "a.png").unlink()
    assert encode(one, "--out-dir", out) == 0
    assert (out / "a.aec").read_bytes() == code(50)


@pytest.mark.parametrize("shard", [(), ("--shard", "1/1")])
def test_a_changed_input_is_encoded_again_even_if_it_looks_older(
    shard: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = pictures(tmp_path / "in", a_bmp=50), tmp_path / "out"
    stamp = 1_000_000_000
    os.utime(folder / "a.bmp", (stamp, stamp))
    assert encode(folder, "--out-dir", out, *shard) == 0
    for colour, name, time in (
        (100, "a.bmp", stamp - 1000),  # an older picture, by cp -p or rsync
        (150, "a.bmp", stamp - 1000),  # of the same size and time, as unzip sets it
        (200, "a.png", stamp),  # under another extension
        (250, "a.png", 4_000_000_000),  # from the future
    ):
        for path in folder.iterdir():
            path.unlink()
        pictures(folder, **{name.replace(".", "_"): colour})
        os.utime(folder / name, (time, time))
        capsys.readouterr()
        assert encode(folder, "--out-dir", out, *shard) == 0
        assert "1 done in " in capsys.readouterr().err
        assert (out / "a.aec").read_bytes() == code(colour)
    assert encode(folder, "--out-dir", out, *shard) == 0
    assert "1 done" not in capsys.readouterr().err
    assert encode(folder, "--out-dir", out, *shard, "-q", "5") == 0
    assert "1 done in " in capsys.readouterr().err, "other options"


@pytest.mark.parametrize("shard", [(), ("--shard", "1/1")])
def test_a_missing_or_damaged_output_is_made_again(
    shard: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = pictures(tmp_path / "in", a_png=50, b_png=100, c_png=150, d_png=200), tmp_path / "out"
    assert encode(folder, "--out-dir", out, *shard) == 0
    outputs = [out / f"{name}.aec" for name in "abcd"]
    first = [path.read_bytes() for path in outputs]
    times = os.stat(outputs[2])
    outputs[0].unlink()
    outputs[1].write_bytes(b"")
    outputs[2].write_bytes(first[2][:-1] + bytes([first[2][-1] ^ 1]))
    os.utime(outputs[2], ns=(times.st_atime_ns, times.st_mtime_ns))
    capsys.readouterr()
    assert encode(folder, "--out-dir", out, *shard) == 0
    assert "3 done, 1 skipped" in capsys.readouterr().err
    assert [path.read_bytes() for path in outputs] == first


@pytest.mark.parametrize("damage", ["lost", "half", "garbage"])
def test_without_the_journal_outputs_are_made_again_and_compared(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = pictures(tmp_path / "in", a_png=50, b_png=100), tmp_path / "out"
    journal = out / ".aecodec" / "made.jsonl"

    def lose() -> None:
        if damage == "lost":
            shutil.rmtree(journal.parent)
        else:
            journal.write_bytes(journal.read_bytes()[:-9] if damage == "half" else b'\xff{}\n[1]\n{"output": 1}\n\n7')

    assert encode(folder, "--out-dir", out) == 0
    lose()
    capsys.readouterr()
    assert encode(folder, "--out-dir", out) == 0
    assert ("1 done, 1 skipped" if damage == "half" else "2 done in ") in capsys.readouterr().err
    assert encode(folder, "--out-dir", out) == 0
    lose()
    pictures(folder, b_png=200)
    assert encode(folder, "--out-dir", out, "--quiet") == 1
    assert f"aecodec: {out / 'b.aec'}: exists, and is not what this command makes; --force" in capsys.readouterr().err
    assert (out / "b.aec").read_bytes() == code(100)
    assert encode(folder, "--out-dir", out, "--force") == 0
    assert (out / "b.aec").read_bytes() == code(200)


def test_a_journal_that_cannot_be_written_is_a_notice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = pictures(tmp_path / "in", a_png=50, b_png=100), tmp_path / "out"
    out.mkdir()
    (out / ".aecodec").write_text("no folder")
    assert encode(folder, "--out-dir", out) == 0
    assert "2 done, 2 with a notice" in capsys.readouterr().err
    assert encode(folder, "--out-dir", out, "-v") == 0
    assert f"{out / '.aecodec' / 'made.jsonl'}: " in capsys.readouterr().err
    assert (out / "b.aec").read_bytes() == code(100)


def test_decoding_into_the_folder_of_the_originals_replaces_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = pictures(tmp_path / "in", a_png=50, b_png=100)
    assert encode(folder, "--out-dir", folder) == 0
    before = contents(folder)
    (folder / "b.png").unlink()
    capsys.readouterr()
    decode = ["decode", str(folder), "--out-dir", str(folder), "--jobs", "1"]
    assert run(decode) == 1
    error, summary = capsys.readouterr().err.splitlines()
    assert error.startswith(f"aecodec: {folder / 'a.png'}: exists, and is not what this command makes")
    assert summary.startswith("1 done, 1 failed in ")
    assert contents(folder)["a.png"] == before["a.png"]
    # The other way round: b.aec is the original now, and b.png was made from it.
    (folder / ".aecodec" / "made.jsonl").unlink()
    assert encode(folder, "--out-dir", folder, "-q", "3") == 1
    assert contents(folder)["b.aec"] == before["b.aec"]


def test_an_output_that_was_edited_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = pictures(tmp_path / "in", a_png=50)
    assert encode(folder, "--out-dir", tmp_path / "aec") == 0
    decode = ["decode", str(tmp_path / "aec"), "--out-dir", str(tmp_path / "back"), "--jobs", "1"]
    assert run(decode) == 0
    edited = pictures(tmp_path / "back", a_png=77) / "a.png"
    before = edited.read_bytes()
    assert run(decode) == 1
    assert edited.read_bytes() == before
    edited.write_bytes(before[:40] + bytes(20))
    assert run(decode) == 0, "damaged"


def test_a_folder_that_moved_with_its_journal_is_up_to_date(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = pictures(tmp_path / "in", a_png=50)
    assert encode(folder, "--out-dir", tmp_path / "out") == 0
    shutil.copytree(tmp_path / "out", tmp_path / "other")  # other times, too
    monkeypatch.chdir(tmp_path)
    assert encode("in/../in", "--out-dir", "other") == 0
    assert "0 done, 1 skipped" in capsys.readouterr().err


def test_an_input_given_twice_is_one(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert encode(photos, f"{photos}/", photos / "a.jpg", photos / "a.jpg", "--out-dir", tmp_path / "out") == 0
    assert "5 done in " in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--skip-existing", "--no-clobber", "--force", "--quiet"])
def test_a_missing_input_is_an_error_even_if_its_output_exists(option: str, tmp_path: Path) -> None:
    folder = pictures(tmp_path / "in", a_png=50)
    assert encode(folder, "--out-dir", tmp_path / "out") == 0
    (folder / "a.png").unlink()
    assert encode(folder / "a.png", "--out-dir", tmp_path / "out", option) == 1


def test_an_output_that_is_its_input_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.aec"
    Image.new("RGB", (8, 8)).save(path, "PNG")
    before = path.read_bytes()
    assert encode(path, "--out-dir", tmp_path, "--force") == 1
    assert path.read_bytes() == before
