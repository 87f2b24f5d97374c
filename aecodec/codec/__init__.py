"""The codec: pictures as arrays to the bytes of a file, and back.

In: uint8 arrays, options and weights. Out: bytes. No Pillow, and no files but those of weights.

From pixels to the file and back, with h = 4 ceil(H / 32) and w = 4 ceil(W / 32):

    pixels --analysis, gain--> latent --hyper analysis--> hyper-latent          (encoder only)
    [H, W, 3]                 [h, w, 16]                  [h/4, w/4, 16]
                                  |                             |
                                  |                      hyper synthesis        (both ends)
                                  |                             v
                                  |                 hyper features [h, w, 32]
                                  v                             v
                               symbols <--mean, table-- four context steps
                                  |
                             range coder --> a stream for each tile --> file
    file --> streams --> latent, hyper features --inverse gain, synthesis--> pixels   (decoder only)

The range coder also codes the hyper-latent's symbols, before all others.
"""
