"""Which pictures of a bench are shown: the best, the worst, and some at random."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from aecodec.bench.result import BenchResult
from aecodec.bench.result import Measurement

MAX_SHOWN = 48
SEED = 0


@dataclass(frozen=True)
class Compared:
    """One picture: aecodec at the shown quality, and the peers at as many bytes."""

    own: Measurement
    peers: tuple[Measurement, ...]

    @property
    def gain(self) -> float:
        """dB of PSNR over the best peer whose file is no larger; over 0 if there is none."""
        fitting = [peer.psnr for peer in self.peers if peer.size_bytes <= self.own.size_bytes]
        if math.isinf(self.own.psnr) or any(map(math.isinf, fitting)):
            return 0.0  # the comparison is not about lossless files
        return self.own.psnr - max(fitting, default=0.0)


def compared(result: BenchResult) -> list[Compared]:
    """One for each picture, in the order of the result."""
    own_name = result.codecs[0].name
    peers: dict[str, list[Measurement]] = {}
    for each in result.equal_bytes:
        peers.setdefault(each.picture, []).append(each)
    return [
        Compared(each, tuple(peers.get(each.picture, ())))
        for each in result.measurements
        if each.codec == own_name and each.quality == result.shown_quality
    ]


def choose(pictures: Sequence[Compared]) -> list[tuple[Compared, str]]:
    """At most MAX_SHOWN, by falling gain: all, or the best third, a random third, and the worst third.

    Each with its reason: all, best, drawn or worst.
    """
    ranked = sorted(pictures, key=lambda each: (-each.gain, each.own.picture))
    if len(ranked) <= MAX_SHOWN:
        return [(each, "all") for each in ranked]
    third = MAX_SHOWN // 3
    middle = range(third, len(ranked) - third)
    drawn = sorted(random.Random(SEED).sample(middle, MAX_SHOWN - 2 * third))
    return [
        *((each, "best") for each in ranked[:third]),
        *((ranked[index], "drawn") for index in drawn),
        *((each, "worst") for each in ranked[len(ranked) - third :]),
    ]
