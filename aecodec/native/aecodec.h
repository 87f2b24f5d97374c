/* What Python (ctypes) and WebAssembly call. No function allocates, opens or prints anything. All memory is the
   caller's; even for invalid arguments a function reads and writes only what is described here.

   Activations are int16 [rows][columns][channels]. `network/quantized.py` defines the layers. */
#ifndef AECODEC_H
#define AECODEC_H

#include <stdint.h>

#if defined(_WIN32)
#define AEC_API __declspec(dllexport)
#else
#define AEC_API __attribute__((visibility("default")))
#endif

/* Changes with every change of what stands here; `interface.py` has the same number. A library left by an earlier
   version is refused. */
#define AEC_ABI 2
AEC_API int32_t aec_abi(void);

/* ---- kernel sets ---- */

/* Name of kernel set `set`, the best first; NULL after the last. Lists all sets of this build, also those that the
   processor cannot run. */
AEC_API const char *aec_set_name(int32_t set);
/* Whether processor and operating system support the set. */
AEC_API int32_t aec_set_runs(int32_t set);

/* ---- networks ---- */

enum {
    AEC_CONV, AEC_DEPTHWISE, AEC_RESIDUAL, AEC_SIDE, AEC_DEPTH_TO_SPACE, AEC_NEAREST,
    /* of gradients, on their way back through a network: the inverse of DepthToSpace, and the slopes of a leaky ReLU */
    AEC_SPACE_TO_DEPTH, AEC_SLOPES
};

/* Layers in the order in which they run, a body after the Residual or SideInput that it belongs to. */
typedef struct {
    int32_t kind;
    int32_t entries; /* this one and those of its body: the distance to the next layer on its own level */
    int32_t inputs, outputs, kernel, stride, padding, active; /* Conv; Depthwise: both of the first are its channels */
    int32_t factor, crop;                                     /* DepthToSpace and its inverse, NearestUpsample */
} AecLayer;

/* Bytes of a network once prepared for `set`, alignment included; -1 if the layers are malformed or a field is out
   of range. */
AEC_API int64_t aec_prepared_size(int32_t set, const AecLayer *layers, int32_t count);

/* Prepares a network in `to`, of aec_prepared_size bytes at a multiple of 64. It may be read by many threads at once
   and copied to another multiple of 64. `weights` are those of all layers that have some, one after the other, each
   [kernel * kernel * inputs][outputs] ([9][channels] of a Depthwise); `numbers` int32 likewise, each [4][outputs]:
   bias, shift, low, high. Returns 0; or -1 if the kernels cannot hold the numbers (NumPy can). */
AEC_API int32_t aec_prepare(int32_t set, const AecLayer *layers, int32_t count, const int8_t *weights,
                            int64_t weight_count, const int32_t *numbers, int64_t number_count, void *to);

/* One call of a network. */
typedef struct {
    int32_t rows, columns, channels;             /* of the first input */
    int32_t side_channels;                       /* of the second, which has a sample for each position; 0: none */
    int32_t bound, side_bound;                   /* |values| of the inputs are at most these */
    int32_t top, left, bottom, right;            /* the positions wanted; positions are those of the coarsest field */
    int32_t out_rows, out_columns, out_channels; /* of the output: aec_plan sets them */
    int32_t tape; /* 0: write none. aec_plan sets it to the values on the tape that the call writes, or reads */
} AecCall;

/* Completes `call`. Returns the bytes of memory that aec_run needs; -1 if the network cannot run so, or its sums could
   leave 2^30. */
AEC_API int64_t aec_plan(const void *network, AecCall *call);

/* Runs a planned call. `memory` lies at a multiple of 64 and belongs to this call alone while it runs. `side` is NULL
   if side_channels is 0. Returns 0, or -1 where aec_plan would.

   A call with a tape leaves the outputs of active layers there, in their order; 64 more values must lie behind. A call
   with AEC_SLOPES reads them in reverse order: for it `tape` points behind the last one. */
AEC_API int32_t aec_run(const void *network, const AecCall *call, const int16_t *x, const int16_t *side, int16_t *y,
                        void *memory, int64_t memory_size, int16_t *tape);

/* ---- range coder: `format/range_coder.py` defines the stream, `format/symbols.py` the order and the escapes ---- */

/* 65 tables, the last one that of escaped symbols. */
typedef struct {
    int32_t starts[65];  /* where a table's sums begin */
    int32_t lengths[65]; /* symbols of a table: 2 support + 2; of the last, 2049 */
    int32_t sum_count;   /* of all sums */
} AecTables;

/* 0, or -1 if the tables are invalid: checks every sum, once for all streams. `sums` holds each table's running sums,
   from 0 to 2^24. */
AEC_API int32_t aec_check_tables(const AecTables *tables, const uint32_t *sums);

typedef struct {
    uint64_t offset; /* value - low */
    uint64_t width;
    int64_t read;    /* bytes of the stream read so far, with the zeros that follow it */
} AecReader;

AEC_API void aec_open(AecReader *reader, const uint8_t *stream, int64_t size);

/* The next `count` symbols, which have the scale indexes `index` (0..63). `order` has room for `count` numbers. Returns
   0; -1 where the stream holds no symbol; -2 where it escapes a symbol that its table holds; -3 for an index out of
   range. */
AEC_API int32_t aec_read(AecReader *reader, const uint8_t *stream, int64_t size, const AecTables *tables,
                         const uint32_t *sums, const uint8_t *index, int32_t count, int32_t *symbols, int32_t *order);

typedef struct {
    uint64_t low;
    uint64_t width;
    int64_t words; /* output so far */
} AecWriter;

AEC_API void aec_start(AecWriter *writer);

/* Appends `count` symbols -1024..1024. `output` holds the words so far, as big-endian bytes, and has `room` for words:
   at least 2 count more. Returns 0; -1 without that room, or of another writer's state; -3 for an index or a symbol out
   of range. */
AEC_API int32_t aec_write(AecWriter *writer, uint8_t *output, int64_t room, const AecTables *tables,
                          const uint32_t *sums, const uint8_t *index, const int32_t *symbols, int32_t count,
                          int32_t *order);

#endif
