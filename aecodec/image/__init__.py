"""Pictures: everything that touches Pillow.

In: picture files and Pillow images. Out: upright 8-bit arrays with alpha and metadata, and back. No networks, no
`.aec`.
"""
