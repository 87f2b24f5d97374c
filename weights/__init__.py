"""Bundled weights. The file makes this folder a package, `aecodec.bundled` once installed."""
