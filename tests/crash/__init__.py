"""Ends encoders and decoders at random moments and looks at what they leave: the old file or the new one, whole.

    python -m tests.crash --kills 200

Half of the moments are drawn over the whole run of the command, half from when its temporary file appears. A killed
command may leave that temporary file; the next one in the folder must remove it. An interrupted one must not leave it.
"""
