"""The kernels in C: integer networks and the range coder, compiled if the installation had a C compiler.

In: prepared numbers and arrays of NumPy, by address. Out: the same integers as the NumPy runtime and the Python coder.
`aecodec.h` is the interface, `interface.py` declares it to ctypes, and `library.py` loads the library and chooses a
kernel set, or says why there is none.
"""
