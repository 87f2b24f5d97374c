/* The range coder and the order of symbols. format/range_coder.py defines the stream and says why its numbers fit;
   format/symbols.py defines groups and escapes. Both have Python twins there, which write the same bytes. */

#include "aecodec.h"

#if defined(__wasm__)
#define memset __builtin_memset
#else
#include <string.h>
#endif

enum { GROUPS = 64, ESCAPES = 64, MAX_SYMBOL = 1024, MAX_ALPHABET = 4096, PRECISION = 24 };

AEC_API int32_t aec_check_tables(const AecTables *tables, const uint32_t *sums)
{
    for (int t = 0; t <= ESCAPES; t++) {
        int32_t start = tables->starts[t], length = tables->lengths[t];
        if (start < 0 || length < 2 || length > MAX_ALPHABET || start > tables->sum_count - length - 1)
            return -1;
        if (t == ESCAPES ? length != 2 * MAX_SYMBOL + 1 : length % 2 || length > 2 * MAX_SYMBOL + 2)
            return -1;
        for (int32_t s = 0; s < length; s++)
            if (sums[start + s] >= sums[start + s + 1])
                return -1;
        if (sums[start] != 0 || sums[start + length] != (uint32_t)1 << PRECISION)
            return -1;
    }
    return 0;
}

/* Positions of symbols by scale index, the largest first, into `order`; ends[t] is where group t ends, ends[GROUPS] 0.
   */
static int group(const uint8_t *index, int32_t count, int32_t *order, int32_t *ends)
{
    int32_t at[GROUPS];
    memset(ends, 0, sizeof(int32_t) * (GROUPS + 1));
    for (int32_t i = 0; i < count; i++) {
        if (index[i] >= GROUPS)
            return -1;
        ends[index[i]]++;
    }
    for (int t = GROUPS - 1; t >= 0; t--) {
        at[t] = ends[t + 1];
        ends[t] += ends[t + 1];
    }
    for (int32_t i = 0; i < count; i++)
        order[at[index[i]]++] = i;
    return 0;
}

/* ---- decoding ---- */

static uint64_t next_word(AecReader *reader, const uint8_t *stream, int64_t size)
{
    uint64_t word = 0;
    for (int i = 0; i < 4; i++, reader->read++)
        word = word << 8 | (reader->read >= 0 && reader->read < size ? stream[reader->read] : 0);
    return word;
}

AEC_API void aec_open(AecReader *reader, const uint8_t *stream, int64_t size)
{
    reader->read = 0;
    reader->width = ~(uint64_t)0;
    reader->offset = next_word(reader, stream, size) << 32;
    reader->offset |= next_word(reader, stream, size);
}

/* The next symbol's place in a table of `length`, searched from `guess`; -1 where there is none. */
static int32_t next_symbol(AecReader *reader, const uint8_t *stream, int64_t size, const uint32_t *sums, int32_t length,
                           int32_t guess)
{
    uint64_t scale = reader->width >> PRECISION, quotient = reader->offset / scale;
    int32_t low = 0, high = length; /* sums[low] <= quotient < sums[high] */
    if (quotient >> PRECISION)
        return -1;
    if (quotient < sums[guess])
        high = guess;
    else if (quotient < sums[guess + 1])
        low = guess, high = guess + 1;
    else
        low = guess + 1;
    while (high - low > 1) {
        int32_t middle = (low + high) / 2;
        if (sums[middle] <= quotient)
            low = middle;
        else
            high = middle;
    }
    reader->offset -= scale * sums[low];
    reader->width = scale * (sums[low + 1] - sums[low]);
    if (!(reader->width >> 32)) {
        reader->offset = reader->offset << 32 | next_word(reader, stream, size);
        reader->width <<= 32;
    }
    return low;
}

AEC_API int32_t aec_read(AecReader *reader, const uint8_t *stream, int64_t size, const AecTables *tables,
                         const uint32_t *sums, const uint8_t *index, int32_t count, int32_t *symbols, int32_t *order)
{
    int32_t ends[GROUPS + 1], needless = 0;
    if (group(index, count, order, ends))
        return -3;
    if (!(reader->width >> 32)) /* no reader's: the scale could be 0 */
        return -1;
    for (int t = GROUPS - 1; t >= 0; t--) {
        int32_t length = tables->lengths[t], support = length / 2 - 1, escaped = 0;
        for (int32_t i = ends[t + 1]; i < ends[t]; i++) {
            int32_t own = next_symbol(reader, stream, size, sums + tables->starts[t], length, support);
            if (own < 0)
                return -1;
            symbols[order[i]] = own - support;
            escaped |= own - support > support;
        }
        for (int32_t i = ends[t + 1]; escaped && i < ends[t]; i++) {
            int32_t *symbol = symbols + order[i];
            if (*symbol <= support)
                continue;
            int32_t own =
                next_symbol(reader, stream, size, sums + tables->starts[ESCAPES], 2 * MAX_SYMBOL + 1, MAX_SYMBOL);
            if (own < 0)
                return -1;
            *symbol = own - MAX_SYMBOL;
            needless |= *symbol <= support && *symbol >= -support;
        }
    }
    return needless ? -2 : 0;
}

/* ---- encoding ---- */

AEC_API void aec_start(AecWriter *writer)
{
    writer->low = 0;
    writer->width = ~(uint64_t)0;
    writer->words = 0;
}

/* The caller has seen to room for a word. */
static void put_symbol(AecWriter *writer, uint8_t *output, const uint32_t *sums)
{
    uint64_t scale = writer->width >> PRECISION, low = writer->low + scale * sums[0];
    if (low < writer->low) /* a carry; it ends inside the words, for the interval ends at 1 or before */
        for (int64_t at = 4 * writer->words - 1; at >= 0 && !++output[at];)
            at--;
    writer->low = low;
    writer->width = scale * (sums[1] - sums[0]);
    if (!(writer->width >> 32)) {
        for (int i = 0; i < 4; i++)
            output[4 * writer->words + i] = (uint8_t)(low >> (56 - 8 * i));
        writer->words++;
        writer->low = low << 32;
        writer->width <<= 32;
    }
}

AEC_API int32_t aec_write(AecWriter *writer, uint8_t *output, int64_t room, const AecTables *tables,
                          const uint32_t *sums, const uint8_t *index, const int32_t *symbols, int32_t count,
                          int32_t *order)
{
    int32_t ends[GROUPS + 1];
    if (group(index, count, order, ends))
        return -3;
    if (writer->words < 0 || room - writer->words < 2 * (int64_t)count || !(writer->width >> 32))
        return -1;
    for (int32_t i = 0; i < count; i++)
        if (symbols[i] < -MAX_SYMBOL || symbols[i] > MAX_SYMBOL)
            return -3;
    for (int t = GROUPS - 1; t >= 0; t--) {
        int32_t support = tables->lengths[t] / 2 - 1, escaped = 0;
        for (int32_t i = ends[t + 1]; i < ends[t]; i++) {
            int32_t symbol = symbols[order[i]], beyond = symbol > support || symbol < -support;
            put_symbol(writer, output, sums + tables->starts[t] + (beyond ? 2 * support + 1 : symbol + support));
            escaped |= beyond;
        }
        for (int32_t i = ends[t + 1]; escaped && i < ends[t]; i++) {
            int32_t symbol = symbols[order[i]];
            if (symbol > support || symbol < -support)
                put_symbol(writer, output, sums + tables->starts[ESCAPES] + symbol + MAX_SYMBOL);
        }
    }
    return 0;
}
