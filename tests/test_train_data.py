"""Reading of training folders, the split by photograph, and random views."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aecodec.errors import InputError

torch = pytest.importorskip("torch")

from aecodec.train import data
from aecodec.train.drawings import drawings

CPU = torch.device("cpu")


def save_picture(path: Path, side: int = 32, mode: str = "RGB", value: int = 100) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (side, side), value if mode == "L" else (value, value, value)).save(path)


def key(in_validation: bool, pattern: str = "{}") -> str:
    """The first name after `pattern` that lies on the given side of the split."""
    names = (pattern.format(number) for number in range(10_000))
    return next(name for name in names if (zlib.crc32(name.encode()) % 40 == 0) == in_validation)


def batches(pictures: list[np.ndarray], crop: int = 32, batch_size: int = 8, seed: int = 0) -> data.Batches:
    return data.Batches(data.PictureList(pictures), crop=crop, batch_size=batch_size, device=CPU, seed=seed)


def coordinates(height: int, width: int, blue: int = 0) -> np.ndarray:
    """Red is the row, green the column."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, np.full_like(rows, blue)], axis=2).astype(np.uint8)


def noise(count: int, height: int = 64, width: int = 64) -> list[np.ndarray]:
    generator = np.random.default_rng(7)
    return [generator.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(count)]


def test_reads_folders_and_counts_what_it_leaves_out(tmp_path: Path) -> None:
    save_picture(tmp_path / key(False, "a{}.png"), value=10)
    save_picture(tmp_path / "deep" / "er" / key(False, "b{}.WebP"), mode="L", value=20)
    save_picture(tmp_path / key(True, "c{}.jpg"), value=30)
    save_picture(tmp_path / "small.png", side=31)
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    (tmp_path / "notes.txt").write_text("not even tried")
    dataset = data.load_folders([tmp_path, tmp_path / "deep"], min_side=32)
    assert [picture.shape for picture in dataset.training] == [(32, 32, 3)] * 2
    assert sorted(int(picture.mean()) for picture in dataset.training) == [10, 20]
    assert [round(picture.mean()) for picture in dataset.validation] == [30]
    assert (dataset.unreadable, dataset.too_small) == (1, 1)
    assert all(picture.dtype == np.uint8 for picture in dataset.training)


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    save_picture(tmp_path / "elsewhere" / key(False, "a{}.png"), value=10)
    (tmp_path / "pictures").mkdir()
    for name in ("linked", "again"):
        (tmp_path / "pictures" / name).symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "elsewhere" / "round").symlink_to(tmp_path / "pictures", target_is_directory=True)
    assert len(data.load_folders([tmp_path / "pictures"], min_side=32).training) == 1


def test_no_folder_or_no_picture_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a folder"):
        data.load_folders([tmp_path / "missing"], min_side=32)
    save_picture(tmp_path / "small.png", side=16)
    with pytest.raises(InputError, match="no picture to train on .0 unreadable, 1 smaller than 32"):
        data.load_folders([tmp_path], min_side=32)


@pytest.mark.parametrize("style", ["train/shard/{}", "shard/{}", "data/train/shard/{}"])
def test_split_follows_the_photograph_and_not_the_file(tmp_path: Path, style: str) -> None:
    folder = tmp_path / "train" / "shard"
    one, other, unlisted = key(False, "one{}.png"), key(True, "other{}.png"), key(True, "unlisted{}.png")
    for name in (one, other, unlisted):
        save_picture(folder / name)
    kept, held_out = key(False), key(True)
    table = f"file,photo,source\n{style.format(one)},{held_out},x\n{style.format(other)},{kept},x\n"
    (tmp_path / "train" / "photos.csv").write_text(table)
    photographs = data.Photographs()
    keys = [photographs.key(folder / name) for name in (one, other, unlisted)]
    assert keys == [held_out, kept, unlisted]
    dataset = data.load_folders([folder], min_side=32)
    assert (len(dataset.training), len(dataset.validation)) == (1, 2)


def test_ambiguous_ends_of_paths_are_not_matched(tmp_path: Path) -> None:
    (tmp_path / "photos.csv").write_text("file,photo\na/x.png,1\nb/x.png,2\nx.png,3\na/y.png,4\nb/y.png,5\n")
    photographs = data.Photographs()
    names = ("x.png", "a/x.png", "b/x.png", "y.png")
    assert [photographs.key(tmp_path / name) for name in names] == ["3", "1", "2", "y.png"]


@pytest.mark.parametrize("content", [b"name,photo\na.png,1\n", b"file,photo\n\xff\xfe,1\n"])
def test_a_damaged_table_of_photographs_is_an_input_error(tmp_path: Path, content: bytes) -> None:
    save_picture(tmp_path / "a.png")
    (tmp_path / "photos.csv").write_bytes(content)
    with pytest.raises(InputError, match=r"photos\.csv: not a readable table"):
        data.load_folders([tmp_path], min_side=32)


def test_a_fortieth_of_the_photographs_is_for_validation() -> None:
    share = np.mean([data.is_validation(str(photo)) for photo in range(20_000)])
    assert share == pytest.approx(1 / 40, rel=0.1)


def test_a_batch_has_the_promised_form() -> None:
    x, quality = batches(noise(3), batch_size=16).draw()
    assert x.shape == (16, 3, 32, 32) and x.dtype == torch.float32
    assert x.is_contiguous(memory_format=torch.channels_last)
    assert x.min() >= 0 and x.max() <= 1
    assert quality.dtype == torch.float32
    even = quality.double() ** (1 / data.QUALITY_POWER)
    assert sorted((even * 16).long().tolist()) == list(range(16)), "one quality in each sixteenth of the draws"
    assert (quality < 0.5).sum() == 10


def test_views_are_windows_flipped_turned_and_reduced_as_often_as_promised() -> None:
    x, _ = batches([coordinates(64, 96, blue=200)], batch_size=2000).draw()
    pixels = (x * 255).round().int()
    down = (pixels[:, :2, 17, 16] - pixels[:, :2, 16, 16]).tolist()  # change of (row, column) per pixel downwards
    right = (pixels[:, :2, 16, 17] - pixels[:, :2, 16, 16]).tolist()
    assert (pixels[:, 2] == 200).all(), "channels are not mixed"
    whole = [(tuple(a), tuple(b)) for a, b in zip(down, right, strict=False) if max(map(abs, a + b)) == 1]
    transposed = np.mean([a[0] == 0 for a, _ in whole])
    upside_down = np.mean([a[0] == -1 for a, _ in whole])
    mirrored = np.mean([a[0] * b[1] - a[1] * b[0] < 0 for a, b in whole])
    assert len(set(whole)) == 8, "all symmetries of the square"
    assert transposed == pytest.approx(0.25 * 2 / 3, abs=0.04)
    assert upside_down == pytest.approx(0.25 / 3, abs=0.03)
    assert mirrored == pytest.approx(0.5, abs=0.05)
    reach = (pixels[:, :2].amax((2, 3)) - pixels[:, :2].amin((2, 3))).amax(1)
    assert np.mean((reach > 31).tolist()) == pytest.approx(0.4, abs=0.05)


def test_windows_are_spread_over_the_whole_picture() -> None:
    x, _ = batches([coordinates(40, 48)], batch_size=500).draw()
    pixels = (x * 255).round().int()
    assert {pixels[:, 0].min().item(), pixels[:, 1].min().item()} == {0}
    assert (pixels[:, 0].max().item(), pixels[:, 1].max().item()) == (39, 47)


def test_reduced_views_are_filtered() -> None:
    checkerboard = np.repeat(np.indices((128, 128)).sum(0)[:, :, None] % 2 * 255, 3, axis=2).astype(np.uint8)
    views = [batches([checkerboard], seed=seed).draw()[0] for seed in range(20)]
    contrast = torch.cat(views).std((1, 2, 3))
    assert (contrast < 0.25).float().mean() > 0.2, "sampling without a filter keeps the full contrast of 0.5"


def test_pictures_on_a_device_give_the_same_views() -> None:
    pictures = noise(5, 48, 64)
    stack = data.PictureStack(pictures, CPU)
    stacked = data.Batches(stack, crop=32, batch_size=8, device=CPU, seed=3)
    listed = batches(pictures, seed=3)
    for _ in range(5):
        for ours, theirs in zip(stacked.draw(), listed.draw(), strict=False):
            assert torch.equal(ours, theirs)


def test_pictures_of_different_sizes_give_views() -> None:
    mixed = noise(2, 32, 32) + noise(2, 40, 90) + noise(2, 200, 70)
    x, _ = batches(mixed, batch_size=64).draw()
    assert x.shape == (64, 3, 32, 32)
    assert isinstance(data.hold(mixed, CPU), data.PictureList)


def test_a_restored_generator_repeats_the_views() -> None:
    drawn = batches(noise(4))
    drawn.draw()
    state = drawn.generator.get_state()
    expected = [drawn.draw() for _ in range(3)]
    again = batches(noise(4), seed=99)
    again.generator.set_state(state)
    for x, quality in expected:
        other_x, other_quality = again.draw()
        assert torch.equal(x, other_x) and torch.equal(quality, other_quality)
    assert not torch.equal(expected[0][0], expected[1][0])


def test_patches_are_windows_as_they_are() -> None:
    patches = batches([coordinates(64, 96)]).patches(50, 16)
    assert patches.shape == (50, 16, 16, 3) and patches.dtype == np.uint8
    corners = patches[:, :1, :1].astype(int)
    assert np.array_equal(patches - corners, np.broadcast_to(coordinates(16, 16), patches.shape))
    assert len({tuple(corner) for corner in corners.reshape(50, 3)}) > 30


def test_a_share_of_the_batches_are_whole_photographs_reduced() -> None:
    whole = np.zeros((80, 96, 3), np.uint8)
    whole[:, :, 0] = np.linspace(0, 255, 96)[None]  # dark on the left, bright on the right, whatever the square
    views = data.Batches(data.PictureList([whole]), crop=64, batch_size=4, device=CPU, seed=1, small=0.5)
    batches = [views.draw() for _ in range(60)]
    sides = [x.shape[-1] for x, _ in batches]
    assert set(sides) == {*data.SMALL_SIDES, 64} and 12 < sum(side == 64 for side in sides) < 48
    for x, quality in batches:
        assert len(x) == len(quality) == max(4 * 64**2 // x.shape[-1] ** 2, 1)
        if x.shape[-1] in (96, 128, 160):  # no crop is that large: the whole square, flipped or not
            assert float((x[:, 0, :, 0] - x[:, 0, :, -1]).abs().min()) > 0.7
    unchanged = data.Batches(data.PictureList([whole]), crop=64, batch_size=4, device=CPU, seed=1)
    assert {unchanged.draw()[0].shape[-1] for _ in range(20)} == {64}


def test_a_share_of_the_views_are_drawings() -> None:
    """They are the last pictures, whatever their size."""
    pictures = [np.full((64, 64, 3), 100, np.uint8)] * 5 + [np.full((40, 48, 3), 200, np.uint8)] * 2
    held = data.PictureList(pictures)
    views = data.Batches(held, crop=32, batch_size=400, device=CPU, seed=1, drawn=0.2, drawings=2)
    drawn = (views.draw()[0].amax((1, 2, 3)) * 255).round() == 200
    assert float(drawn.float().mean()) == pytest.approx(0.2, abs=0.06)
    photographs = data.Batches(held, crop=32, batch_size=100, device=CPU, seed=1, drawings=2)
    assert float(photographs.draw()[0].max()) < 0.5


def test_drawings_are_the_same_every_time_and_of_the_size_asked_for() -> None:
    first, second = drawings(12, 48, 96), drawings(12, 48, 96)
    assert all(picture.shape == (48, 96, 3) and picture.dtype == np.uint8 for picture in first)
    assert all(map(np.array_equal, first, second))
    assert len({picture.tobytes() for picture in first}) == 12


def test_drawings_have_what_photographs_lack() -> None:
    pixels = np.concatenate([picture.reshape(-1, 3) for picture in drawings(40, 128, 128)]).astype(int)
    pure = (pixels.max(1) == 255) & (pixels.min(1) == 0)
    greys = np.ptp(pixels, axis=1) == 0
    assert pure.mean() > 0.05 and greys.mean() > 0.1
    assert (pixels.min(1) > 215).mean() > 0.1, "paper"
