"""Bundled weights. The file makes this folder a package, which an editable install needs to find it."""
