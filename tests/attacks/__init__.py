"""Hostile files, one builder each with its reason: what an attacker would write who knows the format.

Every checksum is right where the builder does not say otherwise. A file `NAME.aec` in this folder is a find of the
fuzz driver, with its reason in `NAME.txt`.
"""
