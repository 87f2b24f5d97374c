/* Networks of int16 activations, exact in 32 bits, in one call. The layers are defined in network/quantized.py.

   Exactness. Every weight, bound and activation is within 16 bits, and every sum, partial sums in any order included,
   is under 2^30: aec_prepare checks the numbers, aec_plan the sums, from the bounds of inputs and layers. So no
   instruction overflows or saturates, and all sets and NumPy give the same integers.

   A call has two steps. A *walk* through the layers cuts each field to what the wanted output depends on (as
   network/windows.py does), gives every field a place in memory and notes steps. Then the steps run: a product writes
   bias, shift, bounds, activation and a residual's sum at once; products of single positions that follow one another
   run a few positions at a time, so that what is between them stays in the processor's second cache. */

#include "aecodec.h"

#if defined(__wasm__)
typedef __SIZE_TYPE__ size_t;
typedef __PTRDIFF_TYPE__ ptrdiff_t;
#define NULL 0
#define memcpy __builtin_memcpy
#define memset __builtin_memset
#else
#include <stddef.h>
#include <string.h>
#endif

#include "sets.h"

enum {
    MAX_LAYERS = 1024,
    MAX_NESTING = 8,
    MAX_SIDE = 1 << 20,   /* rows or columns of a field */
    ALIGN = 64,           /* bytes */
    PANEL = 64,           /* outputs of a tile: lanes times columns of a set are at most this */
    SLACK = 64,           /* values that a load may read beyond the end of a field */
    POSITIONS = 96,       /* that products of single positions do at a time */
    MAX_UP = 7,           /* a negative shift goes into the weights, which stay within 16 bits */
    MAX_SHIFT = 30
};
#define SUM_LIMIT ((int64_t)1 << 30)
#define MAX_VALUES ((int64_t)1 << 36) /* of a network's weights, of a call's memory */

AEC_API int32_t aec_abi(void) { return AEC_ABI; }

AEC_API const char *aec_set_name(int32_t set) { return set >= 0 && set < SETS ? sets[set].name : NULL; }

AEC_API int32_t aec_set_runs(int32_t set) { return set >= 0 && set < SETS && sets[set].runs(); }

/* ---- preparation ---- */

typedef struct {
    AecLayer is;
    int32_t pairs;
    int32_t peak;          /* |outputs| are at most this */
    int64_t norm, bias;    /* the largest sum of |weights| of an output, the largest |bias| */
    int64_t weight, numbers; /* where they begin, in bytes from the network's; numbers: bias, shift, low, high */
} Layer;

typedef struct {
    int64_t size;
    int32_t set, count;
    Layer layers[];
} Network;

static int has_weights(const AecLayer *layer) { return layer->kind == AEC_CONV || layer->kind == AEC_DEPTHWISE; }

static int has_body(const AecLayer *layer) { return layer->kind == AEC_RESIDUAL || layer->kind == AEC_SIDE; }

static int within(int32_t value, int32_t low, int32_t high) { return value >= low && value <= high; }

static int fields_fit(const AecLayer *layer)
{
    switch (layer->kind) {
    case AEC_CONV:
        return within(layer->inputs, 1, 4096) && within(layer->outputs, 1, 4096) && within(layer->kernel, 1, 16) &&
               within(layer->stride, 1, 16) && within(layer->padding, 0, 15);
    case AEC_DEPTHWISE:
        return within(layer->inputs, 1, 4096) && layer->outputs == layer->inputs && layer->kernel == 3 &&
               layer->stride == 1 && layer->padding == 1 && !layer->active;
    case AEC_DEPTH_TO_SPACE:
    case AEC_SPACE_TO_DEPTH:
    case AEC_NEAREST:
        return within(layer->factor, 1, 16) && within(layer->crop, 0, 15);
    default:
        return has_body(layer) || layer->kind == AEC_SLOPES;
    }
}

/* Whether these are whole layers, each body inside its layer and not empty. */
static int are_layers(const AecLayer *layers, int32_t count, int nesting)
{
    for (int32_t i = 0; i < count; i += layers[i].entries) {
        const AecLayer *layer = layers + i;
        if (nesting > MAX_NESTING || !fields_fit(layer) || !within(layer->entries, 1, count - i))
            return 0;
        if (has_body(layer) ? layer->entries < 2 || !are_layers(layer + 1, layer->entries - 1, nesting + 1)
                            : layer->entries != 1)
            return 0;
    }
    return count > 0;
}

static int64_t aligned(int64_t bytes) { return (bytes + ALIGN - 1) / ALIGN * ALIGN; }

static int64_t padded(int64_t outputs, int64_t lanes) { return (outputs + lanes - 1) / lanes * lanes; }

static int64_t pairs_of(const AecLayer *layer) { return ((int64_t)layer->kernel * layer->inputs + 1) / 2; }

static int64_t weight_bytes(const Set *set, const AecLayer *layer)
{
    if (layer->kind == AEC_DEPTHWISE)
        return 9 * 4 * padded(layer->outputs, WIDEST);
    return 4 * layer->kernel * pairs_of(layer) * padded(layer->outputs, set->lanes);
}

AEC_API int64_t aec_prepared_size(int32_t set, const AecLayer *layers, int32_t count)
{
    if (set < 0 || set >= SETS || !within(count, 1, MAX_LAYERS) || !are_layers(layers, count, 0))
        return -1;
    int64_t size = aligned((int64_t)(sizeof(Network) + count * sizeof(Layer)));
    for (int32_t i = 0; i < count; i++)
        if (has_weights(layers + i))
            size += aligned(weight_bytes(sets + set, layers + i)) + 4 * aligned(4 * padded(layers[i].outputs, WIDEST));
    return size <= MAX_VALUES ? size : -1;
}

/* One layer's numbers [4][outputs] to where the kernels read them; -1 if they do not fit. */
static int prepare_numbers(const Set *set, Layer *layer, const int32_t *from, int32_t *to)
{
    int32_t outputs = layer->is.outputs;
    int64_t step = aligned(4 * padded(outputs, WIDEST)) / 4;
    for (int32_t n = 0; n < outputs; n++) {
        int32_t shift = from[outputs + n], low = from[2 * outputs + n], high = from[3 * outputs + n];
        int32_t up = shift < 0 ? -shift : 0, down = shift > 0 ? shift : 0;
        if (!within(shift, -MAX_UP, MAX_SHIFT) || !within(low, INT16_MIN, high) || !within(high, low, INT16_MAX))
            return -1;
        int64_t bias = (int64_t)from[n] * ((int64_t)1 << up), size = bias < 0 ? -bias : bias;
        int32_t peak = -low > high ? -low : high;
        if (size >= SUM_LIMIT)
            return -1;
        layer->bias = size > layer->bias ? size : layer->bias;
        layer->peak = peak > layer->peak ? peak : layer->peak;
        to[n] = (int32_t)bias;
        to[step + n] = set->multiplies ? 1 << (MAX_SHIFT - down) : down;
        to[2 * step + n] = low;
        to[3 * step + n] = high;
    }
    return 0;
}

static const int8_t ZEROS[PANEL] = {0}; /* a missing second half: an odd last input's */

/* A panel of a convolution: the weights of `own` outputs into the order in which tiles read them (kernels.h), `width`
   outputs with their padding; the two weights of a pair lie `gap` apart, a power of two. Row by row and without
   divisions: a command that decodes a single picture waits for this. */
INLINE void place_panel(const AecLayer *is, const int8_t *from, int32_t own, const int32_t *up, int32_t gap,
                        int32_t width, int64_t *norm, int16_t *to)
{
    int32_t across = is->kernel * is->inputs;
    for (int32_t run = 0; run < is->kernel; run++) {
        int32_t sums[PANEL] = {0}; /* of one run: at most 2^16 weights of 2^14 */
        for (int32_t at = 0; at < across; at += 2, to += 2 * width) {
            const int8_t *first = from + ((int64_t)run * across + at) * is->outputs;
            const int8_t *second = at + 1 < across ? first + is->outputs : ZEROS;
            for (int32_t n = 0; n < own; n++) {
                int32_t a = first[n] * up[n], b = second[n] * up[n], place = n + (n & -gap);
                sums[n] += (a < 0 ? -a : a) + (b < 0 ? -b : b);
                to[place] = (int16_t)a;
                to[place + gap] = (int16_t)b;
            }
        }
        for (int32_t n = 0; n < own; n++)
            norm[n] += sums[n];
    }
}

/* The weights of a convolution, panel by panel, and the largest sum of |weights| of an output. */
static int64_t prepare_conv(const Set *set, const AecLayer *is, const int8_t *from, const int32_t *shifts, int16_t *to)
{
    int32_t panel = set->lanes * set->columns;
    int64_t largest = 0;
    for (int32_t first = 0; first < is->outputs; first += panel) {
        int32_t own = is->outputs - first < panel ? is->outputs - first : panel, up[PANEL];
        int32_t width = (int32_t)padded(own, set->lanes);
        int64_t norm[PANEL] = {0};
        int16_t *place = to + 2 * first * is->kernel * pairs_of(is);
        for (int32_t n = 0; n < own; n++)
            up[n] = shifts[first + n] < 0 ? 1 << -shifts[first + n] : 1;
        if (set->split)
            place_panel(is, from + first, own, up, set->lanes, width, norm, place);
        else
            place_panel(is, from + first, own, up, 1, width, norm, place);
        for (int32_t n = 0; n < own; n++)
            largest = norm[n] > largest ? norm[n] : largest;
    }
    return largest;
}

static int64_t prepare_depthwise(const AecLayer *is, const int8_t *from, const int32_t *shifts, int32_t *to)
{
    int64_t largest = 0, step = padded(is->outputs, WIDEST);
    for (int32_t n = 0; n < is->outputs; n++) {
        int64_t norm = 0;
        for (int32_t tap = 0; tap < 9; tap++) {
            int32_t weight = from[tap * is->outputs + n] * (shifts[n] < 0 ? 1 << -shifts[n] : 1);
            norm += weight < 0 ? -weight : weight;
            to[tap * step + n] = weight & 0xffff; /* the second half multiplies nothing */
        }
        largest = norm > largest ? norm : largest;
    }
    return largest;
}

AEC_API int32_t aec_prepare(int32_t set, const AecLayer *layers, int32_t count, const int8_t *weights,
                            int64_t weight_count, const int32_t *numbers, int64_t number_count, void *to)
{
    int64_t size = aec_prepared_size(set, layers, count);
    int64_t at = aligned((int64_t)(sizeof(Network) + count * sizeof(Layer)));
    if (size < 0)
        return -1;
    memset(to, 0, (size_t)size);
    Network *network = to;
    network->size = size;
    network->set = set;
    network->count = count;
    for (int32_t i = 0; i < count; i++) {
        Layer *layer = network->layers + i;
        layer->is = layers[i];
        if (!has_weights(layers + i))
            continue;
        int64_t outputs = layers[i].outputs, rows = layers[i].kind == AEC_CONV ? layers[i].inputs : 1;
        int64_t own = rows * layers[i].kernel * layers[i].kernel * outputs;
        if (own > weight_count || 4 * outputs > number_count)
            return -1;
        layer->pairs = (int32_t)pairs_of(layers + i);
        layer->weight = at;
        layer->numbers = at + aligned(weight_bytes(sets + set, layers + i));
        at = layer->numbers + 4 * aligned(4 * padded(outputs, WIDEST));
        if (prepare_numbers(sets + set, layer, numbers, (int32_t *)((char *)to + layer->numbers)))
            return -1;
        void *place = (char *)to + layer->weight;
        layer->norm = layers[i].kind == AEC_CONV
                          ? prepare_conv(sets + set, layers + i, weights, numbers + outputs, place)
                          : prepare_depthwise(layers + i, weights, numbers + outputs, place);
        weights += own, weight_count -= own;
        numbers += 4 * outputs, number_count -= 4 * outputs;
    }
    return weight_count || number_count ? -1 : 0;
}

/* ---- the walk ---- */

enum { INPUT, SIDE, OUTPUT, TAPE, SCRATCH, FIRST_SLOT, SLOTS = 32 }; /* the first four are the caller's memory */

typedef struct {
    int32_t slot, rows, columns, channels;
    int64_t start, row; /* in values: where it begins in its slot; from one row to the next */
    int32_t bound;      /* |values| are at most this */
} Field;

enum { COPY, PRODUCT, SUM, SPREAD, GATHER, REPEAT, SLOPES };

typedef struct {
    int32_t kind, amount; /* padding of a copy, crop of a DepthToSpace */
    const Layer *layer;   /* NULL for a copy */
    Field x, y, add;      /* add.slot is -1 if nothing is added */
} Step;

typedef struct {
    const Network *network;
    Step *steps; /* NULL: only count */
    int32_t count;
    int32_t records;         /* whether active layers leave their outputs on the tape */
    int64_t tape;            /* values written to it, or read from its end */
    uint32_t held;           /* bit i: slot i is still to be read */
    int32_t channels[SLOTS]; /* fields of different widths never share a slot: positions must not overlap (run_chain) */
    int64_t sizes[SLOTS];
} Walk;

static const Field NOTHING = {-1, 0, 0, 0, 0, 0, 0};

/* A field in `slot`; or, if that is -1, in one that neither is held nor in `busy`. Its slot is -1 if it cannot be. */
static Field new_field(Walk *walk, int32_t slot, uint32_t busy, int64_t rows, int64_t columns, int32_t channels,
                       int32_t bound)
{
    if (rows < 1 || columns < 1 || rows > MAX_SIDE || columns > MAX_SIDE || rows * columns * channels > MAX_VALUES)
        return NOTHING;
    if (slot < 0) {
        for (slot = FIRST_SLOT; slot < SLOTS; slot++)
            if (!((busy | walk->held) >> slot & 1) && (!walk->sizes[slot] || walk->channels[slot] == channels))
                break;
        if (slot == SLOTS)
            return NOTHING;
        walk->channels[slot] = channels;
    }
    Field field = {slot, (int32_t)rows, (int32_t)columns, channels, 0, columns * channels, bound};
    int64_t size = rows * columns * channels;
    walk->sizes[slot] = size > walk->sizes[slot] ? size : walk->sizes[slot];
    return field;
}

static uint32_t bit(Field x) { return x.slot < 0 ? 0 : (uint32_t)1 << x.slot; }

static void emit(Walk *walk, int32_t kind, int32_t amount, const Layer *layer, Field x, Field y, Field add)
{
    Step step = {kind, amount, layer, x, y, add};
    if (walk->steps)
        walk->steps[walk->count] = step;
    walk->count++;
}

static int is_whole(Field x)
{
    return (x.slot >= FIRST_SLOT || x.slot == TAPE) && x.row == (int64_t)x.columns * x.channels;
}

/* A field on the tape, after those that are there. */
static Field on_tape(Walk *walk, int64_t rows, int64_t columns, int32_t channels, int32_t bound)
{
    Field y = new_field(walk, TAPE, 0, rows, columns, channels, bound);
    y.start = walk->tape;
    walk->tape += (int64_t)y.rows * y.columns * y.channels;
    return y;
}

/* `x` with zeros around it, in the scratch slot, which the next step reads; or without, in rows without gaps. */
static Field copied(Walk *walk, Field x, int32_t padding, int32_t slot)
{
    Field y = new_field(walk, slot, bit(x), (int64_t)x.rows + 2 * padding, (int64_t)x.columns + 2 * padding, x.channels,
                        x.bound);
    if (y.slot >= 0)
        emit(walk, COPY, padding, NULL, x, y, NOTHING);
    return y;
}

static Field walk_product(Walk *walk, const Layer *layer, Field x, Field add)
{
    const AecLayer *is = &layer->is;
    int single = is->kind == AEC_CONV && is->kernel == 1 && is->stride == 1 && !is->padding;
    int64_t rows = (int64_t)x.rows + 2 * is->padding - is->kernel;
    int64_t columns = (int64_t)x.columns + 2 * is->padding - is->kernel;
    if (x.channels != is->inputs || rows < 0 || columns < 0 || layer->norm * x.bound + layer->bias >= SUM_LIMIT)
        return NOTHING;
    if (!single || !is_whole(x))
        x = copied(walk, x, is->padding, SCRATCH);
    rows = rows / is->stride + 1, columns = columns / is->stride + 1;
    Field y = walk->records && is->active
                  ? on_tape(walk, rows, columns, is->outputs, layer->peak)
                  : new_field(walk, -1, bit(x) | bit(add), rows, columns, is->outputs, layer->peak);
    if (x.slot < 0 || y.slot < 0 || (add.slot >= 0 && (add.rows != y.rows || add.columns != y.columns)))
        return NOTHING;
    emit(walk, PRODUCT, 0, layer, x, y, add);
    return y;
}

static Field walk_layer(Walk *walk, const Layer *layer, Field x, Field side, Field add);

static Field walk_sum(Walk *walk, const Layer *layer, Field x, Field side)
{
    const Layer *end = layer + layer->is.entries, *last = layer + 1, *own = layer + 1;
    uint32_t held = walk->held;
    while (last + last->is.entries < end)
        last += last->is.entries;
    if (!is_whole(x))
        x = copied(walk, x, 0, -1);
    if (x.slot < 0 || !has_weights(&last->is))
        return NOTHING;
    walk->held |= bit(x);
    int at_once = last->is.outputs == x.channels;
    Field y = layer->is.kind == AEC_SIDE ? side : x;
    for (; y.slot >= 0 && own < end; own += own->is.entries)
        y = walk_layer(walk, own, y, side, own == last && at_once ? x : NOTHING);
    walk->held = held;
    if (y.slot < 0 || y.rows != x.rows || y.columns != x.columns)
        return NOTHING;
    if (!at_once)
        emit(walk, SUM, 0, last, x, y, NOTHING);
    return y;
}

static Field moved(Walk *walk, int32_t kind, const Layer *layer, Field x, int64_t rows, int64_t columns,
                   int64_t channels)
{
    if (channels > MAX_SIDE)
        return NOTHING;
    Field y = new_field(walk, -1, bit(x), rows, columns, (int32_t)channels, x.bound);
    if (y.slot >= 0)
        emit(walk, kind, layer->is.crop, layer, x, y, NOTHING);
    return y;
}

static Field walk_slopes(Walk *walk, Field x)
{
    if (x.slot < 0)
        return NOTHING;
    Field y = new_field(walk, -1, bit(x), x.rows, x.columns, x.channels, x.bound), active = y;
    walk->tape += (int64_t)x.rows * x.columns * x.channels;
    active.slot = TAPE;
    active.start = -walk->tape;
    if (y.slot >= 0)
        emit(walk, SLOPES, 0, NULL, x, y, active);
    return y;
}

/* The field that a layer makes of `x`, `add` summed where it is not NOTHING. NOTHING where that cannot be. */
static Field walk_layer(Walk *walk, const Layer *layer, Field x, Field side, Field add)
{
    int64_t factor = layer->is.factor, crop = layer->is.crop, rows = x.rows * factor, columns = x.columns * factor;
    switch (layer->is.kind) {
    case AEC_CONV:
    case AEC_DEPTHWISE:
        return walk_product(walk, layer, x, add);
    case AEC_RESIDUAL:
    case AEC_SIDE:
        return walk_sum(walk, layer, x, side);
    case AEC_DEPTH_TO_SPACE:
        if (x.channels % (factor * factor))
            return NOTHING;
        return moved(walk, SPREAD, layer, x, rows - 2 * crop, columns - 2 * crop, x.channels / (factor * factor));
    case AEC_SPACE_TO_DEPTH:
        rows = x.rows + 2 * crop, columns = x.columns + 2 * crop;
        if (rows % factor || columns % factor)
            return NOTHING;
        return moved(walk, GATHER, layer, x, rows / factor, columns / factor, x.channels * factor * factor);
    case AEC_SLOPES:
        return walk_slopes(walk, is_whole(x) ? x : copied(walk, x, 0, -1));
    default:
        return moved(walk, REPEAT, layer, x, rows, columns, x.channels);
    }
}

/* One-sided reach of layers beyond a position, in positions of the coarsest field (layers.py, receptive_field). */
static int64_t reach(const Layer *layer, const Layer *end)
{
    int64_t total = 0;
    for (; layer < end; layer++) { /* bodies stand inline, so that one loop sums them too */
        const AecLayer *is = &layer->is;
        int32_t beyond = is->kernel - is->padding - is->stride;
        beyond = is->padding > beyond ? is->padding : beyond;
        if (is->kind == AEC_CONV && beyond > 0)
            total += (beyond + is->stride - 1) / is->stride;
        total += is->kind == AEC_DEPTHWISE;
    }
    return total;
}

typedef struct {
    int64_t top, left, bottom, right;
} Box;

static Box grown(Box box, int64_t by, Box whole)
{
    Box all = {box.top - by, box.left - by, box.bottom + by, box.right + by};
    all.top = all.top < whole.top ? whole.top : all.top;
    all.left = all.left < whole.left ? whole.left : all.left;
    all.bottom = all.bottom > whole.bottom ? whole.bottom : all.bottom;
    all.right = all.right > whole.right ? whole.right : all.right;
    return all;
}

static Box relative(Box box, Box to)
{
    Box own = {box.top - to.top, box.left - to.left, box.bottom - to.top, box.right - to.left};
    return own;
}

/* Crops `x`, which covers `whole`, to `seen`. Counts from both ends: before a DepthToSpace, x has one more row. */
static Field cut(Field x, Box seen, Box whole, int64_t scale)
{
    x.start += seen.top * scale * x.row + seen.left * scale * x.channels;
    x.rows -= (int32_t)((seen.top + whole.bottom - seen.bottom) * scale);
    x.columns -= (int32_t)((seen.left + whole.right - seen.right) * scale);
    return x;
}

/* Walks a whole call; the field of its output, as it lies in memory, or NOTHING. */
static Field walk_network(Walk *walk, const AecCall *call)
{
    const Layer *layer = walk->network->layers, *end = layer + walk->network->count;
    int64_t scale = 1;
    for (const Layer *own = layer; own < end; own += own->is.entries)
        if (own->is.kind == AEC_CONV)
            scale = scale * own->is.stride > MAX_SIDE ? MAX_SIDE : scale * own->is.stride;
    Box whole = {0, 0, call->rows / scale, call->columns / scale};
    Box wanted = {call->top, call->left, call->bottom, call->right};
    Field x = new_field(walk, INPUT, 0, call->rows, call->columns, call->channels, call->bound), side = NOTHING;
    if (call->side_channels)
        side = new_field(walk, SIDE, 0, whole.bottom, whole.right, call->side_channels, call->side_bound);
    if (x.slot < 0 || wanted.top < 0 || wanted.left < 0 || wanted.top >= wanted.bottom || wanted.left >= wanted.right ||
        wanted.bottom > whole.bottom || wanted.right > whole.right)
        return NOTHING;
    int cuts = wanted.top || wanted.left || wanted.bottom < whole.bottom || wanted.right < whole.right;
    for (; layer < end && x.slot >= 0; layer += layer->is.entries) {
        if (cuts) {
            Box seen = grown(wanted, reach(layer, end), whole);
            x = cut(x, seen, whole, scale);
            side = side.slot < 0 ? side : cut(side, seen, whole, 1);
            wanted = relative(wanted, seen);
            whole = relative(seen, seen);
        }
        if (x.rows < 1 || x.columns < 1)
            return NOTHING;
        x = walk_layer(walk, layer, x, side, NOTHING);
        if (layer->is.kind == AEC_CONV)
            scale /= layer->is.stride;
        if (layer->is.kind == AEC_DEPTH_TO_SPACE || layer->is.kind == AEC_NEAREST)
            scale *= layer->is.factor;
        if (scale < 1 || scale > MAX_SIDE)
            return NOTHING;
    }
    if (x.slot >= 0 && cuts)
        x = cut(x, wanted, whole, scale);
    if (x.slot < 0 || x.rows < 1 || x.columns < 1)
        return NOTHING;
    return copied(walk, x, 0, OUTPUT);
}

/* Where slots lie after the steps, in bytes; the bytes of all. */
static int64_t place_slots(const Walk *walk, int64_t *places)
{
    int64_t at = aligned(walk->count * (int64_t)sizeof(Step));
    for (int32_t slot = SCRATCH; slot < SLOTS; slot++) {
        places[slot] = at;
        if (walk->sizes[slot])
            at += aligned(2 * (walk->sizes[slot] + SLACK));
    }
    return at;
}

static int is_call(const Network *network, const AecCall *call)
{
    return call->rows > 0 && call->columns > 0 && within(call->channels, 1, 4096) &&
           within(call->side_channels, 0, 4096) &&
           within(call->bound, 0, INT16_MAX) && within(call->side_bound, 0, INT16_MAX) && network->count > 0;
}

AEC_API int64_t aec_plan(const void *prepared, AecCall *call)
{
    Walk walk = {0};
    int64_t places[SLOTS];
    walk.network = prepared;
    walk.records = call->tape;
    if (!is_call(prepared, call))
        return -1;
    Field y = walk_network(&walk, call);
    if (y.slot < 0 || walk.tape > INT32_MAX)
        return -1;
    call->tape = (int32_t)walk.tape;
    call->out_rows = y.rows;
    call->out_columns = y.columns;
    call->out_channels = y.channels;
    return place_slots(&walk, places);
}

/* ---- the steps ---- */

static void run_copy(const Step *step, const int16_t *x, int16_t *y)
{
    size_t channels = (size_t)step->x.channels;
    size_t margin = (size_t)step->amount * channels, own = (size_t)step->x.columns * channels;
    size_t whole = own + 2 * margin;
    memset(y, 0, 2 * whole * (size_t)step->amount);
    y += whole * (size_t)step->amount;
    for (int32_t i = 0; i < step->x.rows; i++, x += step->x.row, y += whole) {
        memset(y, 0, 2 * margin);
        memcpy(y + margin, x, 2 * own);
        memset(y + margin + own, 0, 2 * margin);
    }
    memset(y, 0, 2 * whole * (size_t)step->amount);
}

/* y, the body's output, plus x in the channels that both have. */
static void run_sum(const Step *step, const int32_t *low, const int32_t *high, const int16_t *x, int16_t *y)
{
    int32_t channels = step->y.channels, both = step->x.channels < channels ? step->x.channels : channels;
    int64_t positions = (int64_t)step->x.rows * step->x.columns; /* both fields are whole */
    for (int64_t p = 0; p < positions; p++, x += step->x.channels, y += channels)
        for (int32_t c = 0; c < channels; c++) {
            int32_t v = y[c] + (c < both ? x[c] : 0);
            y[c] = (int16_t)(v < low[c] ? low[c] : v > high[c] ? high[c] : v);
        }
}

static void run_spread(const Step *step, const int16_t *x, int16_t *y)
{
    int64_t factor = step->layer->is.factor, own = factor * step->y.channels; /* values that lie side by side in both */
    int64_t first = (int64_t)step->amount * step->y.channels, last = first + step->y.row;
    for (int32_t i = 0; i < step->y.rows; i++, y += step->y.row) {
        const int16_t *from = x + (i + step->amount) / factor * step->x.row + (i + step->amount) % factor * own;
        for (int64_t j = first / own; j * own < last; j++) {
            int64_t begin = j * own < first ? first : j * own, end = (j + 1) * own < last ? (j + 1) * own : last;
            memcpy(y + begin - first, from + j * factor * own + begin - j * own, 2 * (size_t)(end - begin));
        }
    }
}

/* The inverse of run_spread; zeros where that cropped. */
static void run_gather(const Step *step, const int16_t *x, int16_t *y)
{
    int64_t factor = step->layer->is.factor, channels = step->x.channels, crop = step->amount;
    for (int64_t i = 0; i < step->y.rows; i++)
        for (int64_t j = 0; j < step->y.columns; j++)
            for (int64_t m = 0; m < factor; m++, y += factor * channels) {
                int64_t row = i * factor + m - crop, left = j * factor - crop, begin = left < 0 ? 0 : left;
                int64_t end = left + factor > step->x.columns ? step->x.columns : left + factor;
                memset(y, 0, 2 * (size_t)(factor * channels));
                if (row >= 0 && row < step->x.rows && begin < end)
                    memcpy(y + (begin - left) * channels, x + row * step->x.row + begin * channels,
                           2 * (size_t)((end - begin) * channels));
            }
}

/* A gradient through a leaky ReLU, whose outputs were `active`. */
static void run_slopes(const Step *step, const int16_t *x, const int16_t *active, int16_t *y)
{
    int64_t values = (int64_t)step->x.rows * step->x.row;
    for (int64_t i = 0; i < values; i++)
        y[i] = (int16_t)(active[i] > 0 ? x[i] : (x[i] + 4) >> 3);
}

static void run_repeat(const Step *step, const int16_t *x, int16_t *y)
{
    int64_t channels = step->y.channels, factor = step->layer->is.factor;
    for (int32_t i = 0; i < step->y.rows; i++)
        for (int32_t j = 0; j < step->y.columns; j++, y += channels)
            memcpy(y, x + i / factor * step->x.row + j / factor * channels, 2 * (size_t)channels);
}

static Weights weights_of(const Network *network, const Layer *layer)
{
    const char *base = (const char *)network + layer->numbers, *weight = (const char *)network + layer->weight;
    int64_t step = aligned(4 * padded(layer->is.outputs, WIDEST));
    Weights own = {layer->is.inputs, layer->is.outputs, layer->is.stride, layer->is.active, layer->is.kernel,
                   layer->pairs, (const int16_t *)weight, (const int32_t *)weight,
                   (const int32_t *)base, (const int32_t *)(base + step), (const int32_t *)(base + 2 * step),
                   (const int32_t *)(base + 3 * step)};
    return own;
}

static int is_single(const Step *step)
{
    if (step->kind != PRODUCT)
        return 0;
    const AecLayer *is = &step->layer->is;
    return is->kind == AEC_CONV && is->kernel == 1 && is->stride == 1 && !is->padding;
}

/* How many of the steps from `step` on are products that can run together, some positions at a time. */
static int32_t chain(const Step *step, const Step *end)
{
    int32_t length = 1;
    for (; step + length < end && is_single(step + length); length++) {
        const Field *x = &step[length].x, *y = &step[length - 1].y;
        if (x->slot != y->slot || x->start != y->start || x->rows != y->rows)
            break;
    }
    return length;
}

static void run_chain(const Network *network, const Step *step, int32_t length, int16_t *const *slots)
{
    int32_t positions = step->y.rows * step->y.columns;
    for (int32_t first = 0; first < positions; first += POSITIONS) {
        int32_t last = first + POSITIONS < positions ? first + POSITIONS : positions;
        for (const Step *own = step; own < step + length; own++) {
            Weights weights = weights_of(network, own->layer);
            const Set *set = sets + network->set;
            Product product = own->layer->is.kind == AEC_CONV ? set->conv : set->depthwise;
            const int16_t *add = own->add.slot < 0 ? NULL : slots[own->add.slot] + own->add.start;
            product(&weights, slots[own->x.slot] + own->x.start, (ptrdiff_t)own->x.row, own->y.columns, first, last,
                    add, slots[own->y.slot] + own->y.start);
        }
    }
}

AEC_API int32_t aec_run(const void *prepared, const AecCall *call, const int16_t *x, const int16_t *side, int16_t *y,
                        void *memory, int64_t memory_size, int16_t *tape)
{
    const Network *network = prepared;
    AecCall planned = *call;
    int64_t places[SLOTS], size = aec_plan(network, &planned);
    if (size < 0 || size > memory_size || (planned.side_channels && !side) || (planned.tape && !tape))
        return -1;
    Walk walk = {0};
    walk.network = network;
    walk.records = call->tape;
    walk.steps = memory;
    walk_network(&walk, call);
    place_slots(&walk, places);
    int16_t *slots[SLOTS] = {(int16_t *)x, (int16_t *)side, y, tape}; /* the first two are only read */
    for (int32_t slot = SCRATCH; slot < SLOTS; slot++)
        slots[slot] = (int16_t *)((char *)memory + places[slot]);
    for (const Step *step = walk.steps, *end = step + walk.count; step < end;) {
        const int16_t *from = slots[step->x.slot] + step->x.start;
        int16_t *to = slots[step->y.slot] + step->y.start;
        int32_t length = 1;
        switch (step->kind) {
        case COPY: run_copy(step, from, to); break;
        case SPREAD: run_spread(step, from, to); break;
        case GATHER: run_gather(step, from, to); break;
        case REPEAT: run_repeat(step, from, to); break;
        case SLOPES: run_slopes(step, from, slots[TAPE] + step->add.start, to); break;
        case SUM: {
            Weights own = weights_of(network, step->layer);
            run_sum(step, own.low, own.high, from, to);
            break;
        }
        default:
            length = chain(step, end);
            run_chain(network, step, length, slots);
        }
        step += length;
    }
    return 0;
}
