"""Makes weights: float networks, data, the training loop, rounding and export to integers.

In: folders of pictures and options. Out: checkpoints and weights files. Needs torch; only `paper` and `cli` import it.
"""
