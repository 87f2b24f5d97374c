"""The file format: header, container, symbols, range coder and extras.

In: integers and bytes. Out: the bytes of a file, and back. No networks, no pictures and no paths; the header needs
no NumPy.
"""
