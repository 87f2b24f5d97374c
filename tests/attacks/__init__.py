"""Hostile files: what an attacker would write who knows the format.

Every checksum is right unless its name says otherwise. A file `NAME.aec` in this folder is a find of the
fuzz driver, with its reason in `NAME.txt`.
"""
