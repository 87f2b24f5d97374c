/* The two products of a network, for one instruction set. sets.h includes this file once for each, with these macros
   (it takes NAME, TARGET and DOT back: the rest may serve a second set):

   NAME(f), TARGET   the set's name for a function, and what lets a compiler use the set in it
   VEC, LANES        a vector of int32, and how many it holds
   ROWS, COLUMNS     a tile of the product, in positions and in vectors of outputs; all its sums are in registers
   LOAD(p), STORE(p, v), SET(i)   from and to memory, any alignment; an int32 in every lane
   DOT(a, x, w)      lane by lane, with int16 halves: a + first half of x * first of w + second half of x * second of w.
                     The halves of x stand interleaved; those of w too, unless the set says SPLIT (place_panel)
   TAP(a, p, w)      a + the LANES int16 at p * the int32 at w, which hold int16
   SHIFT(v, p)       v >> the shifts prepared at p;  ADD, MIN, MAX;  EIGHTH(v): v >> 3
   WIDEN(p), NARROW(p, v)         LANES int16 from memory as int32, and back

   What makes it fast. An int16 product sums in pairs: one instruction does two multiply-adds a lane, where a float does
   one. Of a tile, every vector of weights serves ROWS positions and every pair of inputs COLUMNS vectors, so that an
   instruction that loads feeds several that multiply. Bias, shift, bounds, activation and the sum of a residual follow
   in registers: an output is written once. */

/* One vector of sums to the outputs n.. of a position, at y: shift, bounds, leaky ReLU, and the sum with `add`. */
TARGET INLINE void NAME(finish)(const Weights *own, int32_t n, VEC v, const int16_t *add, int16_t *y)
{
    VEC low = LOAD(own->low + n), high = LOAD(own->high + n);
    v = MIN(MAX(SHIFT(v, own->shift + n), low), high);
    if (own->active)
        v = MAX(v, EIGHTH(ADD(v, SET(4))));
    if (add)
        v = MIN(MAX(ADD(v, WIDEN(add + n)), low), high);
    if (n + LANES <= own->outputs) {
        NARROW(y + n, v);
    } else { /* beyond the last output lies the next position, which another tile may have written */
        int16_t part[LANES];
        NARROW(part, v);
        memcpy(y + n, part, 2 * (size_t)(own->outputs - n));
    }
}

/* ROWS positions by `columns` vectors of outputs from n on. x[r] is the input of position r: `runs` times `pairs`
   pairs, a run `step` values after the one before. w: for each pair, `columns` vectors of the two weights of each
   output. */
TARGET INLINE void NAME(tile)(const Weights *own, int32_t n, int columns, const int16_t *const *x, ptrdiff_t step,
                              const int16_t *const *add, int16_t *const *y)
{
    VEC sum[ROWS][COLUMNS];
    const int16_t *w = own->weight + 2 * (ptrdiff_t)n * own->runs * own->pairs;
    UNROLL
    for (int r = 0; r < ROWS; r++)
        UNROLL
        for (int c = 0; c < columns; c++)
            sum[r][c] = LOAD(own->bias + n + LANES * c);
    for (int32_t run = 0; run < own->runs; run++)
        for (int32_t k = 0; k < own->pairs; k++, w += 2 * LANES * columns) {
            VEC weights[COLUMNS];
            UNROLL
            for (int c = 0; c < columns; c++)
                weights[c] = LOAD(w + 2 * LANES * c);
            UNROLL
            for (int r = 0; r < ROWS; r++) {
                int32_t pair;
                memcpy(&pair, x[r] + run * step + 2 * k, 4);
                VEC inputs = SET(pair);
                UNROLL
                for (int c = 0; c < columns; c++)
                    sum[r][c] = DOT(sum[r][c], inputs, weights[c]);
            }
        }
    int32_t sums[ROWS][COLUMNS * LANES]; /* through memory once: else gcc keeps the sums there inside the loop */
    UNROLL
    for (int r = 0; r < ROWS; r++)
        UNROLL
        for (int c = 0; c < columns; c++)
            STORE(sums[r] + LANES * c, sum[r][c]);
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < columns; c++)
            NAME(finish)(own, n + LANES * c, LOAD(sums[r] + LANES * c), add ? add[r] : NULL, y[r]);
}

/* Positions first..last of a convolution over x, padded already, whose rows are `row` values long; the output has rows
   of `columns` positions. */
TARGET static void NAME(conv)(const Weights *own, const int16_t *x, ptrdiff_t row, int32_t columns, int32_t first,
                              int32_t last, const int16_t *add, int16_t *y)
{
    int32_t vectors = (own->outputs + LANES - 1) / LANES;
    for (int32_t n = 0; n < vectors; n += COLUMNS) {
        int32_t at = first, i = first / columns, j = first % columns;
        for (int32_t p = first; p < last; p += ROWS) {
            const int16_t *from[ROWS], *plus[ROWS];
            int16_t *to[ROWS];
            for (int r = 0; r < ROWS; r++) {
                from[r] = x + own->stride * (i * row + (ptrdiff_t)j * own->inputs);
                to[r] = y + (ptrdiff_t)at * own->outputs;
                plus[r] = add ? add + (ptrdiff_t)at * own->outputs : NULL;
                if (at + 1 < last) { /* beyond the last position, that one again */
                    at++;
                    if (++j == columns)
                        i++, j = 0;
                }
            }
            const int16_t *const *with = add ? plus : NULL;
            switch (vectors - n) { /* the number of columns is a constant in each: so the loops unroll */
            case 1: NAME(tile)(own, n * LANES, 1, from, row, with, to); break;
#if COLUMNS > 2
            case 2: NAME(tile)(own, n * LANES, 2, from, row, with, to); break;
            case 3: NAME(tile)(own, n * LANES, 3, from, row, with, to); break;
#endif
            default: NAME(tile)(own, n * LANES, COLUMNS, from, row, with, to);
            }
        }
    }
}

/* The same of a Depthwise; `taps` are its weights, [9][outputs, rounded up] int32. */
TARGET static void NAME(depthwise)(const Weights *own, const int16_t *x, ptrdiff_t row, int32_t columns, int32_t first,
                                   int32_t last, const int16_t *add, int16_t *y)
{
    int32_t channels = own->outputs;
    ptrdiff_t taps = (channels + WIDEST - 1) / WIDEST * WIDEST;
    for (int32_t p = first; p < last; p++) {
        const int16_t *from = x + p / columns * row + (ptrdiff_t)(p % columns) * channels;
        ptrdiff_t at = (ptrdiff_t)p * channels;
        for (int32_t n = 0; n < channels; n += LANES) {
            VEC v = LOAD(own->bias + n);
            UNROLL
            for (int tap = 0; tap < 9; tap++)
                v = TAP(v, from + tap / 3 * row + tap % 3 * channels + n, own->taps + tap * taps + n);
            NAME(finish)(own, n, v, add ? add + at : NULL, y + at);
        }
    }
}

#undef NAME
#undef TARGET
#undef DOT
