// Symbols of a stream (aecodec/format/symbols.py and range_coder.py): whole streams by the native code, prefixes here.

import { CorruptFile } from "./errors.js";
import { MAX_SYMBOL, SCALES } from "./weights.js";

const READER_BYTES = 24;
const WRITER_BYTES = 24;
const PRECISION = 24n;
const TOTAL = 1n << PRECISION;
const WORD_BITS = 32n;
const WORD = 1n << WORD_BITS;
const FULL_WIDTH = (1n << 64n) - 1n;
const MISFIT = "damaged, or made before aecodec 1.0 with other weights";
const REASONS = {
  [-1]: `${MISFIT}: the coded stream holds no symbol of its table`,
  [-2]: `${MISFIT}: the stream escapes a symbol that its table holds`,
};

/** Reads a whole stream. `finish` throws CorruptFile unless an encoder writes just this stream for its symbols. */
export class StreamReader {
  /** `most`: the number of symbols that will be read. To be used in the `scoped` call that it was made in. */
  constructor(native, prepared, bytes, most) {
    this.native = native;
    this.bytes = bytes;
    this.known = 0;
    this.tables = [prepared.tablesAt, prepared.sumsAt];
    this.stream = native.put(bytes);
    this.reader = native.allocate(READER_BYTES);
    this.writer = native.allocate(WRITER_BYTES);
    this.room = 2 * most; // words: a symbol and its escape take less than one each
    this.output = native.allocate(4 * this.room);
    this.order = native.allocate(4 * most);
    native.code.aec_open(this.reader, this.stream, BigInt(bytes.length));
    native.code.aec_start(this.writer);
  }

  /** Reads `count` symbols with the scale indexes at `index` to `symbols`. */
  read(index, count, symbols) {
    const { code } = this.native;
    const size = BigInt(this.bytes.length);
    const failed = code.aec_read(
      this.reader, this.stream, size, ...this.tables, index, count, symbols, this.order,
    );
    if (failed) throw new CorruptFile(REASONS[failed] ?? `${MISFIT}: scale index (${failed})`);
    const room = BigInt(this.room);
    if (code.aec_write(this.writer, this.output, room, ...this.tables, index, symbols, count, this.order)) {
      throw new CorruptFile(`${MISFIT}: symbols that no encoder writes`);
    }
    this.known += count;
  }

  finish() {
    const state = new DataView(this.native.code.memory.buffer, this.writer, WRITER_BYTES);
    const low = state.getBigUint64(0, true);
    const width = state.getBigUint64(8, true);
    const words = this.native.view(Uint8Array, this.output, 4 * Number(state.getBigInt64(16, true)));
    if (!isShortest(this.bytes, words, low, width)) {
      throw new CorruptFile(`${MISFIT}: the coded stream does not end where its symbols end`);
    }
  }
}

/** Whether a stream is the shortest, then smallest, that lies in the interval of `width` at words and low. */
function isShortest(stream, words, low, width) {
  let dropped = 64n;
  let point;
  do {
    const unit = 1n << dropped;
    point = ((low + unit - 1n) / unit) * unit;
    dropped -= 8n;
  } while (point >= low + width);
  const expected = new Uint8Array(words.length + 8);
  expected.set(words);
  new DataView(expected.buffer).setBigUint64(words.length, point & FULL_WIDTH);
  let carry = Number(point >> 64n);
  for (let at = words.length - 1; carry && at >= 0; at--) {
    const sum = expected[at] + carry;
    expected[at] = sum & 255;
    carry = sum >> 8;
  }
  let size = expected.length;
  while (size && !expected[size - 1]) size--;
  return size === stream.length && stream.every((byte, at) => byte === expected[at]);
}

/** Reads the symbols that the prefix of a stream decides; all others are 0 ("Prefixes" in the format). */
export class PrefixReader {
  constructor(native, tables, bytes) {
    this.native = native;
    this.tables = tables;
    this.decoder = new PrefixDecoder(tables, bytes);
    this.known = 0;
  }

  read(index, count, symbols) {
    const indexes = this.native.view(Uint8Array, index, count);
    const found = this.native.view(Int32Array, symbols, count).fill(0);
    const groups = Array.from({ length: SCALES }, () => []);
    for (let place = 0; place < count; place++) groups[indexes[place]].push(place);
    for (let table = SCALES - 1; table >= 0; table--) this.readGroup(table, groups[table], found);
  }

  readGroup(table, places, found) {
    const support = this.tables.supports[table];
    const escaped = [];
    for (const place of places) {
      const symbol = this.decoder.next(table);
      if (symbol < 0) break;
      if (symbol > 2 * support) {
        escaped.push(place);
      } else {
        found[place] = symbol - support;
        this.known++;
      }
    }
    for (const place of escaped) {
      const symbol = this.decoder.next(SCALES);
      if (symbol < 0) break;
      found[place] = symbol - MAX_SYMBOL;
      this.known++;
    }
  }

  finish() {}
}

/** Decodes the symbols that a prefix decides: with zero bytes after it and with ff bytes they are the same. */
class PrefixDecoder {
  constructor(tables, bytes) {
    this.tables = tables;
    this.bytes = bytes;
    this.at = 0;
    this.low = 0n;
    this.high = 0n;
    this.take();
    this.take();
    this.width = FULL_WIDTH;
    this.exhausted = false;
  }

  /** The next symbol, or -1 if the prefix does not decide it, nor any later one. */
  next(table) {
    if (this.exhausted) return -1;
    const scale = this.width >> PRECISION;
    const quotient = this.low / scale;
    const start = this.tables.starts[table];
    const { sums } = this.tables;
    const symbol = quotient < TOTAL ? place(sums, start, this.tables.lengths[table], Number(quotient)) : -1;
    if (symbol < 0 || this.high / scale >= BigInt(sums[start + symbol + 1])) {
      this.exhausted = true;
      return -1;
    }
    const left = BigInt(sums[start + symbol]);
    this.low -= scale * left;
    this.high -= scale * left;
    this.width = scale * (BigInt(sums[start + symbol + 1]) - left);
    if (this.width < WORD) {
      this.take();
      this.width <<= WORD_BITS;
    }
    return symbol;
  }

  /** Moves both offsets up by the next four bytes. */
  take() {
    let low = 0;
    let high = 0;
    for (let end = this.at + 4; this.at < end; this.at++) {
      const inside = this.at < this.bytes.length;
      low = low * 256 + (inside ? this.bytes[this.at] : 0);
      high = high * 256 + (inside ? this.bytes[this.at] : 255);
    }
    this.low = (this.low << WORD_BITS) | BigInt(low);
    this.high = (this.high << WORD_BITS) | BigInt(high);
  }
}

/** The symbol of a table that holds a quotient: the last one whose sum is not above it. */
function place(sums, start, length, quotient) {
  let low = 0;
  let high = length;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (sums[start + middle] <= quotient) low = middle;
    else high = middle;
  }
  return low;
}

/** The first `stages` of a stream's five stages; symbols of later ones are 0. */
export class StageReader {
  constructor(native, source, stages) {
    this.native = native;
    this.source = source;
    this.stages = stages;
  }

  get known() {
    return this.source.known;
  }

  read(index, count, symbols) {
    if (this.stages-- > 0) this.source.read(index, count, symbols);
    else this.native.view(Int32Array, symbols, count).fill(0);
  }

  finish() {}
}
