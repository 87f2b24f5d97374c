"""Finds weights: folders with a `manifest.json` that lists models, each of two files.

Search path: the bundled folder, then the folders in the environment variable AECODEC_WEIGHTS. The bundled manifest
gives each of its models the number by which files name it; a number never changes its weights.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any
from typing import NamedTuple

from aecodec.errors import UnknownModel
from aecodec.errors import UnknownWeights
from aecodec.files import write_atomic
from aecodec.format.header import Weights

MANIFEST = "manifest.json"
SEARCH_PATH = "AECODEC_WEIGHTS"
DEFAULT_MODEL = "standard"

# Users' own weights are not trusted. The bundled ones take under 4 MB, their manifest under 100 kB.
MAX_MANIFEST_BYTES = 1 << 24
MAX_WEIGHTS_BYTES = 1 << 28
MAX_TRAINED = 1e18  # pixels
ID_BYTES = 4


class Entry(NamedTuple):
    """One model in a manifest. Hashes are SHA-256 in hex; `weights_id` is the decoding half's first four bytes."""

    folder: Path
    name: str
    number: int | None  # of a registered model, one that comes with aecodec
    weights_id: bytes
    decoder_file: str
    encoder_file: str
    encoder_hash: str
    details: Mapping[str, Any]  # the whole manifest entry: recipe, pixels seen, scores


def folders() -> list[Path]:
    """The search path: bundled weights, then AECODEC_WEIGHTS."""
    return bundled_folders() + added_folders()


def bundled_folders() -> list[Path]:
    """The folder of the installed weights, or of those in a checkout; none if there are no weights."""
    package = Path(__file__).parents[1]
    found = [folder for folder in (package / "bundled", package.parent / "weights") if (folder / MANIFEST).is_file()]
    return found[:1]


def _is_bundled(folder: Path) -> bool:
    bundled = bundled_folders()
    return folder in bundled or any(folder.resolve() == other.resolve() for other in bundled)


def added_folders() -> list[Path]:
    """The folders in AECODEC_WEIGHTS, whether they exist or not."""
    return [Path(part) for part in os.environ.get(SEARCH_PATH, "").split(os.pathsep) if part]


def entries_of(folder: Path) -> list[Entry]:
    """The manifest's entries; none if the folder has no manifest. Raises UnknownWeights if it is damaged."""
    path = folder / MANIFEST
    if not path.is_file():
        return []
    data = read_regular(path, MAX_MANIFEST_BYTES)
    try:
        return list(_entries(folder, _is_bundled(folder), data))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UnknownWeights(f"{path}: not a weights manifest ({str(error)[:300]})") from error


@lru_cache(maxsize=4)
def _entries(folder: Path, bundled: bool, data: bytes) -> tuple[Entry, ...]:
    """The entries of a manifest with this content: parsed once, not for every picture."""
    return tuple(_entry(folder, bundled, fields) for fields in json.loads(data)["models"])


def _entry(folder: Path, bundled: bool, fields: Mapping[str, Any]) -> Entry:
    weights_id = bytes.fromhex(fields["id"])
    if len(weights_id) != ID_BYTES:
        raise ValueError(f"an id of {len(weights_id)} bytes")
    pixels = fields.get("pixels", 0)
    if not isinstance(pixels, int | float) or not 0 <= pixels < MAX_TRAINED:
        raise ValueError(f"pixels {pixels}")
    return Entry(
        folder=folder,
        name=_text(fields["name"]),
        number=fields.get("number") if bundled else None,
        weights_id=weights_id,
        decoder_file=_file_name(fields["decoder"]["file"]),
        encoder_file=_file_name(fields["encoder"]["file"]),
        encoder_hash=_text(fields["encoder"]["sha256"]),
        details=fields,
    )


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise TypeError(f"{value!r} is not text of one line")
    return value


def _file_name(value: Any) -> str:
    name = _text(value)
    if name in ("", ".", "..") or Path(name).name != name:
        raise ValueError(f"{name!r} is not the name of a file beside the manifest")
    return name


def read_regular(path: Path, limit: int = MAX_WEIGHTS_BYTES) -> bytes:
    """The content of a weights file, of at most `limit` bytes. Raises UnknownWeights, also for pipes and devices.

    Reading from those could block.
    """
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise UnknownWeights(f"{path}: not a regular file")
            if status.st_size > limit:
                raise UnknownWeights(f"{path}: more than {limit} bytes")
            return file.read()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise UnknownWeights(f"{path}: {getattr(error, 'strerror', None) or error}") from error


def _open_at_once(path: str, flags: int) -> int:
    """Opens without waiting for the writer of a pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def check(entry: Entry) -> None:
    """Compares the files of a model with their hashes. An encoder may be absent: decoding needs none.

    Raises UnknownWeights if the decoder is missing or one of them is damaged.
    """
    decoder, encoder = entry.folder / entry.decoder_file, entry.folder / entry.encoder_file
    if not _sha256(decoder).startswith(entry.weights_id.hex()):
        raise UnknownWeights(f"{decoder}: damaged, its hash does not begin with {entry.weights_id.hex()}")
    if encoder.exists() and _sha256(encoder) != entry.encoder_hash:
        raise UnknownWeights(f"{encoder}: damaged, its hash is not the manifest's")


def _sha256(path: Path) -> str:
    import hashlib

    return hashlib.sha256(read_regular(path)).hexdigest()


def known(damage: list[str] | None = None) -> Iterator[Entry]:
    """Every model on the search path, in its order.

    A damaged manifest raises UnknownWeights; with a list `damage`, its message is added there instead.
    """
    for folder in folders():
        try:
            yield from entries_of(folder)
        except UnknownWeights as error:
            if damage is None:
                raise
            damage.append(str(error))


def find(name: str | None, file: Path | None) -> Entry:
    """The model of a weights file, or of that name; the default one without either. Raises UnknownWeights."""
    return find_by_name(DEFAULT_MODEL if name is None else name) if file is None else find_by_file(file)


def find_by_name(name: str) -> Entry:
    """The first model of that name. Raises UnknownModel, with the names of the known ones.

    Raises UnknownWeights if a folder or the bundled weights are damaged or missing: the model may be one of theirs.
    """
    others, damage = set(), list[str]()
    for entry in known(damage):
        if entry.name == name:
            return entry
        others.add(entry.name)
    if not bundled_folders():
        damage.append("the weights that come with aecodec are missing; they have to be files, not parts of an archive")
    unknown = f"no model named {name!r} on the search path (known: {', '.join(sorted(others)) or 'none'})"
    if damage:
        raise UnknownWeights("; ".join([unknown, *damage]))
    raise UnknownModel(unknown)


def find_by_file(path: Path) -> Entry:
    """The model of a weights file (either half), by the manifest beside it; for a folder, its only model.

    Raises UnknownWeights.
    """
    if path.is_dir():
        entries = entries_of(path)
        if len(entries) == 1:
            return entries[0]
        raise UnknownWeights(f"{path}: holds {len(entries)} models by its {MANIFEST}; name one of their files")
    for entry in entries_of(path.parent):
        if path.name in (entry.decoder_file, entry.encoder_file):
            return entry
    missing = "no such file" if not path.exists() else f"not listed in a {MANIFEST} beside it"
    raise UnknownWeights(f"{path}: {missing}")


def find_by_weights(weights: Weights) -> Entry:
    """The model that a file names, by number or id. Raises UnknownWeights, with those of the known models."""
    if isinstance(weights, bytes):
        return find_by_id(weights)
    models = [entry for folder in bundled_folders() for entry in entries_of(folder) if entry.number is not None]
    for entry in models:
        if entry.number == weights:
            return entry
    have = ", ".join(f"{entry.number} ({entry.name})" for entry in models) or "none"
    raise UnknownWeights(f"needs model number {weights}, which this aecodec does not have (known: {have})")


def find_by_id(weights_id: bytes) -> Entry:
    """The model that a file names. Raises UnknownWeights, with the id and those of the known models."""
    others, damage = [], list[str]()
    for entry in known(damage):
        if entry.weights_id == weights_id:
            return entry
        others.append(f"{entry.weights_id.hex()} ({entry.name})")
    have = ", ".join(others) or "none"
    missing = f"needs weights {weights_id.hex()}, which are not on the search path (known: {have}); see {SEARCH_PATH}"
    raise UnknownWeights("; ".join([missing, *damage]))


def add_entry(folder: Path, fields: Mapping[str, Any]) -> None:
    """Puts a model into the manifest of `folder`, replacing one of the same name and number. Raises OutputError."""
    before = {str(entry.details["name"]): dict(entry.details) for entry in entries_of(folder)}
    replaced = before.pop(fields["name"], {})
    numbered = {"number": replaced["number"]} if "number" in replaced else {}
    models = sorted([*before.values(), {**fields, **numbered}], key=lambda entry: str(entry["name"]))
    write_atomic(folder / MANIFEST, (json.dumps({"models": models}, indent=2) + "\n").encode())
