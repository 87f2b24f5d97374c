"""Limits, each with its reason. They are checked before anything is allocated."""

from __future__ import annotations

# Twice Pillow's warning threshold, where Pillow itself refuses: what opens there can be coded here.
MAX_PIXELS = 178_956_970

# A side fits 16 bits, as in JPEG and PNG practice; keeps every geometry product far from overflow.
MAX_SIDE = 65_535

# The encoder clips symbols to this magnitude, the decoder refuses more (entropy.py, "Units").
MAX_SYMBOL = 1_024
