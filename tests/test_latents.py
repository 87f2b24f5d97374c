"""Latents: the synthesis' own input, in one unit at every quality, cut to the picture; the torch data set."""

from __future__ import annotations

import subprocess
import sys
import traceback
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from PIL import Image
from torch.utils.data import DataLoader

import aecodec
from aecodec import api
from aecodec.codec import decoder
from aecodec.codec.manifest import entries_of
from aecodec.codec.transforms import synthesise
from aecodec.format.container import unpack
from aecodec.format.header import MAGIC
from aecodec.torch_dataset import AecFolder
from helpers.paths import PHOTOS
from helpers.paths import TINY
from helpers.paths import WEIGHTS
from helpers.tiny import Tiny

EXAMPLE = str(PHOTOS.parent / "train_on_latents.py")
BUNDLED = pytest.mark.skipif(not entries_of(WEIGHTS), reason="no bundled weights in this tree")


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    with Image.open(PHOTOS / "bay.png") as image:
        return np.asarray(image)


def latent(pixels: np.ndarray, quality: float, model: str = "tiny") -> np.ndarray:
    return aecodec.decode_latent(aecodec.encode(pixels, quality, model=model))


@pytest.mark.parametrize(
    ("height", "width", "rows", "columns"),
    [(256, 256, 32, 32), (1, 1, 4, 4), (8, 9, 4, 4), (33, 64, 5, 8), (31, 100, 4, 13)],
)
def test_shape_and_type(photo: np.ndarray, height: int, width: int, rows: int, columns: int) -> None:
    for pixels in (photo[:height, :width], photo[:height, :width, 0]):
        found = latent(pixels, 40)
        assert (found.dtype, found.shape) == (np.int16, (16, rows, columns))
        assert found.flags.c_contiguous
        assert np.abs(found).max() <= 2048


def test_a_cut_latent_is_that_of_the_padded_picture(photo: np.ndarray) -> None:
    padded = np.pad(photo[:200, :100], ((0, 24), (0, 28), (0, 0)), mode="edge")
    np.testing.assert_array_equal(latent(photo[:200, :100], 60), latent(padded, 60)[:, :25, :13])


def test_it_is_the_input_of_the_synthesis(photo: np.ndarray, tiny: Tiny) -> None:
    """A decoder whose gain is one, fed with it, gives the file's own pixels."""
    data = aecodec.encode(photo, 30, model="tiny")
    runtime, quality = api.runtime("cpu"), np.array([unpack(data).header.quality])
    features = decoder.decode_streams(unpack(data), tiny[1], runtime).features
    plain = replace(tiny[1], inverse_gain=np.full_like(tiny[1].inverse_gain, 2), inverse_shift=1)
    seen = np.moveaxis(aecodec.decode_latent(data), 0, -1)[None].astype(np.int32)
    np.testing.assert_array_equal(synthesise(plain, runtime, seen, features, quality)[0], aecodec.decode_pixels(data))


@BUNDLED
@pytest.mark.parametrize("model", ["standard", "light", "paper"])
def test_one_unit_at_every_quality(photo: np.ndarray, model: str) -> None:
    """Distant qualities give the same numbers except for rounding; as coded, they differ by a factor of 6."""
    best, middle, worst = (latent(photo, quality, model).astype(float) for quality in (100, 50, 0))
    assert ((best - middle) ** 2).mean() < ((best - worst) ** 2).mean() < 0.15 * (best**2).mean()
    for channel in np.argsort(best.var((1, 2)))[-4:]:  # those that hold most of the picture
        factor = np.vdot(best[channel], worst[channel]) / np.vdot(worst[channel], worst[channel])
        assert 0.8 < factor < 1.2


def test_own_weights_by_file(photo: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    data = aecodec.encode(photo[:40, :40], model="tiny")
    expected = aecodec.decode_latent(data)
    monkeypatch.delenv("AECODEC_WEIGHTS")
    with pytest.raises(aecodec.UnknownWeights, match="11ddc256"):
        aecodec.decode_latent(data)
    weights = TINY / "tiny.decoder.safetensors"
    np.testing.assert_array_equal(aecodec.decode_latent(data, weights=weights), expected)


def test_alpha_and_metadata_change_nothing(photo: np.ndarray) -> None:
    image = Image.fromarray(photo[:40, :48])
    expected = latent(photo[:40, :48], 60)
    image.putalpha(Image.fromarray(photo[:40, :48, 1] // 2 + 1))
    data = aecodec.encode(image, 60, model="tiny")
    assert aecodec.read_info(data).mode == "RGBA"
    np.testing.assert_array_equal(aecodec.decode_latent(data), expected)


def test_damage_and_limits(photo: np.ndarray) -> None:
    data = aecodec.encode(photo[:40, :40], model="tiny")
    for damaged in (data[:-1], data + b"\0", MAGIC, b""):
        with pytest.raises(aecodec.CorruptFile):
            aecodec.decode_latent(damaged)
    with pytest.raises(aecodec.HeaderLimitExceeded):
        aecodec.decode_latent(data, max_pixels=1599)


# The torch data set.


@pytest.fixture
def folder(photo: np.ndarray, tmp_path: Path) -> Path:
    """Two classes: a colour and a grey file in one, one file in a sub-folder of the other; and other files."""
    for name, pixels in {
        "b/2": photo[:40, :48],
        "b/1": photo[40:80, :48, 0],
        "a/deeper/3": photo[80:120, :48],
    }.items():
        path = tmp_path / f"{name}.aec"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(aecodec.encode(pixels, 60, model="tiny"))
    (tmp_path / "a" / "notes.txt").write_text("no picture")
    (tmp_path / "stray.aec").write_bytes(b"in no class")
    for hidden in (".git/1.aec", "a/.ipynb_checkpoints/3-checkpoint.aec", "a/deeper/._3.aec", "b/.1.aec"):
        path = tmp_path / hidden
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"no file of the data set")
    return tmp_path


def test_folders_are_classes(folder: Path) -> None:
    found = AecFolder(folder)
    assert found.classes == ["a", "b"]
    assert found.class_to_idx == {"a": 0, "b": 1}
    names = ["a/deeper/3.aec", "b/1.aec", "b/2.aec"]
    assert found.samples == [(folder / name, number) for name, number in zip(names, (0, 1, 1), strict=True)]
    assert found.targets == [0, 1, 1]
    assert len(found) == 3


def test_latents_and_pixels_of_a_folder(folder: Path) -> None:
    latents, pixels = AecFolder(str(folder)), AecFolder(folder, "pixels")
    for (latent, number), (picture, same), (path, expected) in zip(latents, pixels, latents.samples, strict=True):
        assert number == same == expected
        data = path.read_bytes()
        assert latent.dtype == torch.float32
        np.testing.assert_array_equal(latent.numpy(), aecodec.decode_latent(data))
        assert (picture.dtype, picture.shape) == (torch.uint8, (3, 40, 48))
        np.testing.assert_array_equal(picture.permute(1, 2, 0).numpy(), np.asarray(aecodec.decode(data).convert("RGB")))


def test_pixels_of_pictures_with_alpha(folder: Path, photo: np.ndarray) -> None:
    for number, channels in ((1, [0, 1]), (2, [0, 1, 2, 0])):
        path, _ = AecFolder(folder).samples[number]
        path.write_bytes(aecodec.encode(photo[:40, :48, channels], 60, model="tiny"))
        picture, _ = AecFolder(folder, "pixels")[number]
        colours = np.asarray(aecodec.decode(path.read_bytes()).convert("RGB"))
        np.testing.assert_array_equal(picture.permute(1, 2, 0).numpy(), colours)


def test_links_to_folders_are_followed_once(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    kept = AecFolder(folder).samples
    (folder / "b" / "round").symlink_to(folder / "b", target_is_directory=True)
    assert AecFolder(folder).samples == kept
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "deep"
    elsewhere.mkdir()
    (elsewhere / "9.aec").write_bytes(kept[0][0].read_bytes())
    (folder / "b" / "linked").symlink_to(elsewhere.parent, target_is_directory=True)
    (folder / "c").symlink_to(elsewhere, target_is_directory=True)
    linked = AecFolder(folder)
    assert (folder / "b" / "linked" / "deep" / "9.aec", 1) in linked.samples
    assert linked.classes[-1] == "c" and linked.samples[-1] == (folder / "c" / "9.aec", 2)


def test_transform(folder: Path) -> None:
    small, number = AecFolder(folder, transform=_corner)[1]
    assert (small.shape, number) == ((16, 2, 2), 1)


def _corner(tensor: torch.Tensor) -> torch.Tensor:
    return tensor[:, :2, :2]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # Python 3.12 on fork
@pytest.mark.parametrize("start", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_workers_give_what_one_process_gives(folder: Path, start: str) -> None:
    """Forked from a process whose network is loaded and has run, or spawned, in which case the set is pickled."""
    alone = AecFolder(folder, transform=_corner)
    expected = torch.stack([latent for latent, _ in alone])
    loader = DataLoader(alone, batch_size=3, num_workers=2, multiprocessing_context=start)
    ((latents, numbers),) = list(loader)
    assert torch.equal(latents, expected)
    assert numbers.tolist() == [0, 1, 1]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_errors_of_a_folder(folder: Path) -> None:
    with pytest.raises(aecodec.InputError, match="nowhere: No such file"):
        AecFolder(folder / "nowhere")
    with pytest.raises(aecodec.InputError, match="b: no sub-folder"):
        AecFolder(folder / "b")
    with pytest.raises(aecodec.InputError, match="'latent' or 'pixels', not 'latents'"):
        AecFolder(folder, "latents")  # type: ignore[arg-type]
    data = (folder / "b" / "1.aec").read_bytes()
    (folder / "b" / "1.aec").write_bytes(data[:-1])
    damaged = AecFolder(folder)
    with pytest.raises(aecodec.CorruptFile, match=r"b/1\.aec: damaged file"):
        damaged[1]
    with pytest.raises(aecodec.CorruptFile, match=r"b/1\.aec: damaged file") as caught:
        list(DataLoader(damaged, num_workers=1, multiprocessing_context="fork"))
    traceback.clear_frames(caught.tb)  # ends the worker; left to the garbage collector, that takes 5 s
    (folder / "b" / "1.aec").unlink()
    with pytest.raises(aecodec.InputError, match=r"b/1\.aec: No such file"):
        damaged[1]
    (folder / "c").mkdir()
    with pytest.raises(aecodec.InputError, match=r"c: no \.aec file"):
        AecFolder(folder)


@pytest.mark.slow
def test_the_example(tmp_path: Path) -> None:
    """By its demo and by somebody's own folder, in which not everything is a picture."""
    for name in ("dog.jpg", "bay.png"):
        folder = tmp_path / name[:3]
        folder.mkdir()
        (folder / "list.csv").write_text("no,picture")
        for number in range(4):
            (folder / f"{number}{name[3:]}").write_bytes((PHOTOS / name).read_bytes())
    for what in (["--crops", "4"], [str(tmp_path)]):
        command = [sys.executable, EXAMPLE, *what, "--model", "tiny", "--side", "32", "--epochs", "1"]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
        assert told[0].startswith("28 pictures of 32x32" if what[0] == "--crops" else "8 pictures of 32x32")
        assert [line[:15] for line in told[3:]] == ["latents of .aec", "pixels of .aec ", "pixels of JPEG "]
        assert all(line.count("%") == 3 for line in told[3:])
