// Entropy decoding of zstd (RFC 8878, section 4): bits that are read backwards, FSE tables, Huffman codes.

/** Throws an Error, of which the caller makes CorruptFile. */
export function fail(message = "corrupt zstd data") {
  throw new Error(message);
}

/** The position of the highest bit of a positive number. */
export function highBit(value) {
  return 31 - Math.clz32(value);
}

/** Reads a bit stream from its end, which a set bit marks. `left` bits remain; below 0, more than there were. */
export class BackwardBits {
  constructor(bytes) {
    if (!bytes.length || !bytes.at(-1)) fail();
    this.bytes = bytes;
    this.left = 8 * (bytes.length - 1) + highBit(bytes.at(-1));
  }

  /** The next `count` bits, up to 24, without taking them; zeros beyond the start. */
  peek(count) {
    const at = this.left - count;
    const first = at >> 3;
    const { bytes } = this;
    const word = (bytes[first] ?? 0) | ((bytes[first + 1] ?? 0) << 8) | ((bytes[first + 2] ?? 0) << 16);
    return ((word | ((bytes[first + 3] ?? 0) << 24)) >>> (at & 7)) & (2 ** count - 1);
  }

  take(count) {
    if (count > 24) return this.take(count - 16) * 65536 + this.take(16);
    const bits = this.peek(count);
    this.left -= count;
    return bits;
  }
}

/** A table of one symbol, which takes no bits. */
export function oneSymbol(symbol) {
  return { log: 0, symbols: [symbol], bits: [0], bases: [0] };
}

/** An FSE table from normalised counts, where -1 is a probability below one. */
export function fseTable(counts, log) {
  const size = 1 << log;
  const table = { log, symbols: new Uint8Array(size), bits: new Uint8Array(size), bases: new Uint16Array(size) };
  const next = counts.map((count) => Math.abs(count));
  let end = size;
  counts.forEach((count, symbol) => {
    if (count === -1) table.symbols[--end] = symbol;
  });
  let at = 0;
  counts.forEach((count, symbol) => {
    for (let i = 0; i < count; i++) {
      table.symbols[at] = symbol;
      do at = (at + (size >> 1) + (size >> 3) + 3) & (size - 1);
      while (at >= end);
    }
  });
  for (let state = 0; state < size; state++) {
    const own = next[table.symbols[state]]++;
    table.bits[state] = log - highBit(own);
    table.bases[state] = (own << table.bits[state]) - size;
  }
  return table;
}

/** Reads the counts of an FSE table: { table, length }, its length in bytes. */
export function readFse(bytes, maxLog, maxSymbol) {
  const bit = (place) => ((bytes[place >> 3] ?? fail()) >> (place & 7)) & 1;
  let at = 0;
  const take = (count) => {
    let value = 0;
    for (let i = 0; i < count; i++) value |= bit(at++) << i;
    return value;
  };
  const log = take(4) + 5;
  if (log > maxLog) fail();
  let remaining = (1 << log) + 1;
  const counts = [];
  while (remaining > 1) {
    if (counts.length > maxSymbol) fail();
    const bits = highBit(remaining) + 1;
    const small = 2 ** bits - 1 - remaining; // so many values take a bit less
    let value = take(bits - 1);
    if (value >= small) {
      value |= take(1) << (bits - 1);
      if (value >= 1 << (bits - 1)) value -= small;
    }
    counts.push(value - 1);
    remaining -= Math.abs(value - 1);
    for (let repeat = value === 1 ? 3 : 0; repeat === 3; ) {
      repeat = take(2);
      for (let i = 0; i < repeat; i++) counts.push(0);
    }
  }
  if (remaining < 1 || counts.length > maxSymbol + 1) fail();
  return { table: fseTable(counts, log), length: (at + 7) >> 3 };
}

const MAX_HUFFMAN_BITS = 12;

/** Reads a Huffman code: { code, length }. `code.table` has for every `code.log` bits symbol * 16 + bits taken. */
export function readHuffman(bytes) {
  const head = bytes[0] ?? fail();
  const length = 1 + (head < 128 ? head : (head - 126) >> 1);
  if (length > bytes.length) fail();
  const described = bytes.subarray(1, length);
  const weights = head < 128 ? fseWeights(described) : directWeights(described, head - 127);
  let sum = 0;
  for (const weight of weights) {
    if (weight > MAX_HUFFMAN_BITS) fail();
    sum += (1 << weight) >> 1;
  }
  if (!sum) fail();
  const log = highBit(sum) + 1;
  const rest = (1 << log) - sum;
  if (log > MAX_HUFFMAN_BITS || rest & (rest - 1)) fail();
  weights.push(highBit(rest) + 1);
  const longest = weights.filter((weight) => weight === 1).length;
  if (longest < 2 || longest % 2) fail();
  return { code: huffmanTable(weights, log), length };
}

function directWeights(bytes, count) {
  return Array.from({ length: count }, (_, i) => (i % 2 ? bytes[i >> 1] & 15 : bytes[i >> 1] >> 4));
}

/** Weights from two states that take turns, until there are no more bits. */
function fseWeights(bytes) {
  const { table, length } = readFse(bytes, 6, 255);
  const bits = new BackwardBits(bytes.subarray(length));
  const states = [bits.take(table.log), bits.take(table.log)];
  if (bits.left < 0) fail();
  const weights = [];
  for (let turn = 0; ; turn ^= 1) {
    if (weights.length > 253) fail();
    weights.push(table.symbols[states[turn]]);
    states[turn] = table.bases[states[turn]] + bits.take(table.bits[states[turn]]);
    if (bits.left < 0) {
      weights.push(table.symbols[states[turn ^ 1]]);
      return weights;
    }
  }
}

function huffmanTable(weights, log) {
  const table = new Uint16Array(1 << log);
  let at = 0;
  for (let weight = 1; weight <= log; weight++) {
    weights.forEach((own, symbol) => {
      if (own === weight) table.fill(symbol * 16 + log + 1 - weight, at, (at += (1 << weight) >> 1));
    });
  }
  return { table, log };
}

/** Decodes one stream of Huffman codes, which has to end with the last symbol of `out`. */
export function decodeHuffman({ table, log }, bytes, out) {
  const bits = new BackwardBits(bytes);
  for (let i = 0; i < out.length; i++) {
    const entry = table[bits.peek(log)];
    bits.left -= entry & 15;
    out[i] = entry >> 4;
  }
  if (bits.left !== 0) fail();
}
