"""The decoder for web pages. The file makes this folder a package, `aecodec.browser` once installed."""
