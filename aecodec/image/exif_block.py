"""EXIF blocks as bytes: turned upright in place, everything else passed on as it came.

A block is a small TIFF file: byte order, directory of the picture, directories of camera, place and interoperability,
and then a directory of the thumbnail. Text keeps its bytes, in any encoding, and a maker's notes, which point into
the block by position, stay where they are. The thumbnail is cut off: it would show the picture before its turn, and may
be larger than the `.aec` file.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

PREFIX = b"Exif\0\0"

ORIENTATION = 0x0112
_CAMERA, _PLACE, _INTEROPERABILITY = 0x8769, 0x8825, 0xA005
_WIDTH, _HEIGHT = 0xA002, 0xA003
_POINTERS = frozenset({_CAMERA, _PLACE, _INTEROPERABILITY})
_THUMBNAIL_AT, _THUMBNAIL_LENGTH = 0x0201, 0x0202
_ENTRY_BYTES = 12
# Type -> bytes of a value.
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_INTEGERS = {1: "B", 3: "H", 4: "I", 6: "b", 7: "B", 8: "h", 9: "i", 13: "I"}
_MAX_DIRECTORIES = 8  # in hostile blocks they point to each other


class Entry(NamedTuple):
    """An entry of a directory, and where its values are in the block."""

    at: int
    tag: int
    kind: int
    values_at: int
    size: int


class Block:
    """A block that can be changed. Raises ValueError for bytes that are no EXIF block."""

    def __init__(self, block: bytes) -> None:
        while block.startswith(PREFIX):
            block = block[len(PREFIX) :]
        self.data = bytearray(block)
        self._order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4], "")
        if not self._order or len(block) < 8:
            raise ValueError("the EXIF block has no header")
        self.first = self._number(4, "I")
        if not 8 <= self.first <= len(block) - 2:
            raise ValueError("the EXIF block has no directory")

    def entries(self, directory: int) -> Iterator[Entry]:
        """The entries of a directory, as far as they are inside the block."""
        for index in range(self._count(directory)):
            at = directory + 2 + _ENTRY_BYTES * index
            tag, kind, count = struct.unpack_from(f"{self._order}HHI", self.data, at)
            size = _SIZES.get(kind, 0) * count
            values_at = at + 8 if size <= 4 else self._number(at + 8, "I")
            if values_at + size <= len(self.data):
                yield Entry(at, tag, kind, values_at, size)

    def orientation(self) -> int:
        """As stored, in any type that a number can have; 1 if there is none."""
        return next((self._integer(entry) for entry in self.entries(self.first) if entry.tag == ORIENTATION), 1)

    def turn_upright(self) -> None:
        """Sets the orientation to 1, and exchanges the sides if the picture lay on one of them."""
        turned = self.orientation() in (5, 6, 7, 8)
        for entry in self.entries(self.first):
            if entry.tag == ORIENTATION:
                self._reset(entry)
            elif entry.tag == _CAMERA and turned:
                sides = {own.tag: own.at for own in self.entries(self._integer(entry)) if own.tag in (_WIDTH, _HEIGHT)}
                if len(sides) == 2:
                    width, height = (slice(at + 2, at + _ENTRY_BYTES) for at in (sides[_WIDTH], sides[_HEIGHT]))
                    self.data[width], self.data[height] = self.data[height], self.data[width]

    def cut_thumbnail(self) -> None:
        """Takes the directory of the thumbnail out, and all bytes behind the last one that is still used."""
        link = self.first + 2 + _ENTRY_BYTES * self._count(self.first)
        thumbnail = self._number(link, "I") if link + 4 <= len(self.data) else 0
        if not thumbnail:
            return
        numbers = {entry.tag: self._integer(entry) for entry in self.entries(thumbnail)}
        start = numbers.get(_THUMBNAIL_AT, 0)
        used = self._used()
        if start and all(end <= start or begin >= start + numbers.get(_THUMBNAIL_LENGTH, 0) for begin, end in used):
            end = min(start + numbers.get(_THUMBNAIL_LENGTH, 0), len(self.data))
            self.data[start:end] = bytes(max(end - start, 0))
        struct.pack_into("4x", self.data, link)
        del self.data[max(end for _, end in used) :]

    def remove_orientation(self) -> None:
        """Takes its entry out; later ones move up, and what they point to stays in place."""
        for entry in [*self.entries(self.first)]:
            if entry.tag == ORIENTATION:
                count = self._count(self.first)
                struct.pack_into(f"{self._order}H", self.data, self.first, count - 1)
                end = min(self.first + 2 + _ENTRY_BYTES * count + 4, len(self.data))
                self.data[entry.at : end] = self.data[entry.at + _ENTRY_BYTES : end] + bytes(_ENTRY_BYTES)
                return

    def _used(self) -> list[tuple[int, int]]:
        """Begin and end of all directories but the thumbnail's, and of their values."""
        used, waiting = [(0, 8)], [self.first]
        for directory in waiting:
            used.append((directory, min(directory + 6 + _ENTRY_BYTES * self._count(directory), len(self.data))))
            for entry in self.entries(directory):
                used.append((entry.values_at, entry.values_at + entry.size))
                target = self._integer(entry) if entry.tag in _POINTERS else 0
                if target and target not in waiting and len(waiting) < _MAX_DIRECTORIES:
                    waiting.append(target)
        return used

    def _count(self, directory: int) -> int:
        """Entries of a directory, as far as they are inside the block."""
        if not 8 <= directory <= len(self.data) - 2:
            return 0
        return min(self._number(directory, "H"), (len(self.data) - directory - 2) // _ENTRY_BYTES)

    def _number(self, at: int, letter: str) -> int:
        return int(struct.unpack_from(self._order + letter, self.data, at)[0])

    def _integer(self, entry: Entry) -> int:
        """The first value of an entry; 0 if it is no number."""
        values = bytes(self.data[entry.values_at : entry.values_at + entry.size])
        if entry.kind == 2:
            text = values.split(b"\0")[0].strip()
            return int(text) if text.isdigit() and len(text) < 10 else 0
        letter = _INTEGERS.get(entry.kind, "")
        return self._number(entry.values_at, letter) if letter and values else 0

    def _reset(self, entry: Entry) -> None:
        """An orientation of 1, in its own type where that holds numbers and else as a short one."""
        if entry.kind in _INTEGERS and entry.size == struct.calcsize(f"={_INTEGERS[entry.kind]}"):
            struct.pack_into(self._order + _INTEGERS[entry.kind], self.data, entry.values_at, 1)
        else:
            struct.pack_into(f"{self._order}HHIH2x", self.data, entry.at, ORIENTATION, 3, 1, 1)
