"""Quantized networks: their layers, and the runtimes that compute them exactly.

In: layers, integer parameters and integer arrays. Out: integer arrays, the same on every runtime. No files, no pictures
and nothing of the format.
"""
