"""Miniatures that are laid out exactly like the paper's source sets, and data sets built from them."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from contextlib import redirect_stderr
from contextlib import redirect_stdout
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from aecodec.cli import run

CLASSES = ("n01440764", "n01443537", "n02102040")
PEOPLE = {"Aaron_Eckhart": 1, "Aaron_Peirsol": 4, "Jose_Manuel_Durao_Barroso": 2, "Wu_Yi": 3}
SCENES = ("a/airfield", "a/apartment_building/outdoor", "z/zen_garden")


def picture(key: object, size: tuple[int, int] = (20, 14), mode: str = "RGB", form: str = "JPEG") -> bytes:
    """An encoded picture that is different for every key."""
    generator = np.random.default_rng(list(repr(key).encode()))
    small = Image.fromarray(generator.integers(0, 256, (4, 5, 3), dtype=np.uint8))
    stream = io.BytesIO()
    small.resize(size).convert(mode).save(stream, form)
    return stream.getvalue()


def numbered(count: int, form: str = "JPEG") -> dict[str, bytes]:
    return {f"{i}.png": picture(i, form=form) for i in range(count)}


def under(folder: str, files: dict[str, bytes]) -> dict[str, bytes]:
    return {f"{folder}/{name}": data for name, data in files.items()}


def write(root: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def tar(files: dict[str, bytes], mode: str = "w") -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def imagenet_files() -> dict[str, bytes]:
    """By class and name, as everywhere in ImageNet; one of them is a PNG in spite of its name, as in the original."""
    files = {f"{name}/{name}_{1000 + 7 * i}.JPEG": picture((name, i)) for name in CLASSES for i in range(4)}
    return files | {"n02102040/n02102040_2933.JPEG": picture("png", form="PNG")}


def places_files() -> dict[str, bytes]:
    return {f"{scene}/{i:08}.jpg": picture((scene, i), (16, 16)) for scene in SCENES for i in range(1, 5)}


def lfw_files() -> dict[str, bytes]:
    return {
        f"{name}/{name}_{i:04}.jpg": picture((name, i), (25, 25)) for name, n in PEOPLE.items() for i in range(1, n + 1)
    }


def imagenet_folder(root: Path) -> Path:
    other = {"val/n01440764/ILSVRC2012_val_00000293.JPEG": picture("validation")}
    return write(root, under("train", imagenet_files()) | other)


def class_tars() -> dict[str, bytes]:
    files = imagenet_files()
    return {
        f"{name}.tar": tar({path.split("/")[1]: data for path, data in files.items() if path.startswith(name)})
        for name in CLASSES
    }


def imagenet_whole_tar(root: Path) -> Path:
    other = tar({"ILSVRC2012_val_00000001.JPEG": picture("validation")})
    return write(root, {"ILSVRC2012_img_train.tar": tar(class_tars()), "ILSVRC2012_img_val.tar": other})


def places_tar(root: Path) -> Path:
    other = tar({"val_256/Places365_val_00000001.jpg": picture("validation")})
    return write(
        root, {"train_256_places365standard.tar": tar(under("data_256", places_files())), "val_256.tar": other}
    )


def places_folder(root: Path) -> Path:
    other = {"val_256/Places365_val_00000001.jpg": picture("validation")}
    return write(root, under("data_256", places_files()) | other)


def lfw_tgz(root: Path) -> Path:
    return write(root, {"lfw.tgz": tar(under("lfw", lfw_files()), "w:gz")})


def lvis_json(names: list[str], **fields: object) -> bytes:
    """As lvis_v1_train.json: outlines first, images without a file_name."""
    images = [
        {"id": int(name[-16:-4]), "license": 4, "coco_url": f"http://images.cocodataset.org/{name}"}
        | {"height": 14, "width": 20, "date_captured": "2013-11-14 17:02:52", "neg_category_ids": [1, 2, 3]}
        for name in names
    ]
    outline = {"id": 1, "image_id": 9, "category_id": 3, "segmentation": [[1.5, 2.5, 3.5, 4.5]], "area": 3.0}
    content = {"info": {"description": "LVIS"}, "annotations": [outline] * 5, "images": images, "categories": []}
    return json.dumps({**content, **fields}).encode()


# Of the training and the validation JSON: both name pictures of train2017, as in the original.
LVIS_TRAINING = [f"train2017/{391895 + i:012}.jpg" for i in range(5)]
LVIS_VALIDATION = [f"val2017/{139 + i:012}.jpg" for i in range(4)] + ["train2017/000000000030.jpg"]


def lvis_files() -> dict[str, bytes]:
    return {name: picture(name) for name in LVIS_TRAINING + LVIS_VALIDATION}


def lvis_folder(root: Path, *, coco: str = ".", tables: str = ".") -> Path:
    """The pictures lie in the folder `coco`, the lists in the folder `tables`, as does what is not to be used."""
    write(root / coco, lvis_files() | {"train2017/000000000031.jpg": picture("of COCO, but not in LVIS")})
    lists = {
        "lvis_v1_train.json": lvis_json(LVIS_TRAINING),
        "lvis_v1_val.json": lvis_json(LVIS_VALIDATION),
        "instances_train2017.json": lvis_json(["train2017/000000000031.jpg"]),
        "lvis_v1_image_info_test_dev.json": lvis_json(["test2017/000000000001.jpg"]),
    }
    return write(root / tables, lists)


def all_sets(root: Path) -> dict[str, str]:
    """Options for a miniature of each kind, and a plain folder; 24 pictures are asked for of 44."""
    files = {f"deep/{i}.{'png' if i % 2 else 'jpg'}": picture(i) for i in range(5)}
    plain = write(root / "plain", files | {"notes.txt": b"no picture by its name"})
    return {
        "--imagenet": f"{imagenet_whole_tar(root / 'imagenet')}:6",
        "--places": f"{places_folder(root / 'places')}:6",
        "--lvis": f"{lvis_folder(root / 'lvis')}:4",
        "--lfw": f"{lfw_tgz(root / 'lfw')}:5",
        "--folder": f"plain={plain}:3",
    }


def arguments(options: dict[str, str], out: Path, *more: str) -> list[str]:
    given = [part for option in options.items() for part in option]
    return ["paper", "dataset", *given, "--dev", "5", "--jobs", "1", "--out", str(out), *more]


def build(options: dict[str, str], out: Path, *more: str) -> int:
    return run(arguments(options, out, *more))


class Built(NamedTuple):
    """A finished data set. Tests only read it."""

    options: dict[str, str]
    out: Path
    lines: list[str]  # on stderr


def built(options: dict[str, str], out: Path) -> Built:
    with redirect_stdout(io.StringIO()) as stdout, redirect_stderr(io.StringIO()) as stderr:
        assert build(options, out) == 0
    assert stdout.getvalue() == ""
    return Built(options, out, stderr.getvalue().splitlines())


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Built:
    root = tmp_path_factory.mktemp("sets")
    return built(all_sets(root), root / "out")


@pytest.fixture(scope="module")
def of_broken(tmp_path_factory: pytest.TempPathFactory) -> Built:
    root = tmp_path_factory.mktemp("broken")
    return built({"--folder": f"x={broken_set(root / 'in')}:12"}, root / "out")


@pytest.fixture
def nine(tmp_path: Path) -> dict[str, str]:
    """Options for all of nine pictures in the folder `in`."""
    return {"--folder": f"x={write(tmp_path / 'in', numbered(9))}:9"}


@pytest.fixture
def rejected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Builds what must fail; the one line on stderr."""

    def line(options: dict[str, str], *more: str, out: Path = tmp_path / "out") -> str:
        capsys.readouterr()
        assert build(options, out, *more) == 1
        (line,) = capsys.readouterr().err.splitlines()
        return line

    return line


def broken_set(root: Path) -> Path:
    """20 files: 12 pictures, 3 copies of them (one as another file format), 5 that cannot be decoded."""
    files = numbered(12, "PNG")
    copies = {"copy-a.png": files["0.png"], "copy-b.png": files["1.png"], "copy-c.bmp": picture(2, form="BMP")}
    broken = {
        "empty.jpg": b"",
        "text.jpg": b"no picture at all",
        "cut.jpg": picture("cut", (200, 200))[:-200],
        "cut.png": picture("cut", (200, 200), form="PNG")[:-200],
        "line.png": picture("line", (3000, 1), form="PNG"),
    }
    return write(root, files | copies | broken)
