"""The codec: pictures as arrays to the bytes of a file, and back.

In: uint8 arrays, options and weights. Out: bytes. No Pillow, and no files but those of weights.
"""
