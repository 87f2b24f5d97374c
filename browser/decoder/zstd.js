// Decompresses one zstd frame (RFC 8878) that states its size, and refuses everything else.

import { BackwardBits, decodeHuffman, fail, fseTable, oneSymbol, readFse, readHuffman } from "./zstd_entropy.js";
import { xxh64 } from "./xxh64.js";

const MAGIC = [0x28, 0xb5, 0x2f, 0xfd];
const MAX_BLOCK = 1 << 17;

// Of literal lengths, offsets and match lengths: the predefined counts, the largest log and the largest code.
const [FEWER, NONE] = [-1, 1];
const LITERALS = {
  counts: [4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1].concat(
    new Array(4).fill(FEWER),
  ),
  log: 6,
  maxLog: 9,
  maxSymbol: 35,
};
const OFFSETS = {
  counts: [1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1].concat(new Array(5).fill(FEWER)),
  log: 5,
  maxLog: 8,
  maxSymbol: 31,
};
const MATCHES = {
  counts: [1, 4, 3, 2, 2, 2, 2, 2, 2].concat(new Array(37).fill(NONE), new Array(7).fill(FEWER)),
  log: 6,
  maxLog: 9,
  maxSymbol: 52,
};

/** Extra bits of each code, and the values that they are added to. */
function lengths(plain, bits, first) {
  const extra = [...new Array(plain).fill(0), ...bits];
  let base = first;
  return extra.map((count) => {
    const own = { bits: count, base };
    base += 2 ** count;
    return own;
  });
}
const LITERAL_LENGTHS = lengths(16, [1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16], 0);
const MATCH_LENGTHS = lengths(32, [1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16], 3);

/**
 * What the header of a frame says: { contentSize, windowSize, hasDictionary, hasChecksum, length }, the first one null if
 * the frame does not say it. Throws an Error if it is no frame.
 */
export function frameHeader(frame) {
  if (MAGIC.some((byte, index) => frame[index] !== byte)) fail("an extra is not a zstd frame");
  const descriptor = frame[4] ?? fail();
  if (descriptor & 8) fail();
  const single = Boolean(descriptor & 32);
  let at = 5;
  let windowSize = 0;
  if (!single) {
    const byte = frame[at++] ?? fail();
    windowSize = 2 ** (10 + (byte >> 3)) * (1 + (byte & 7) / 8);
  }
  const take = (count) => {
    let value = 0;
    for (let i = 0; i < count; i++) value += (frame[at++] ?? fail()) * 256 ** i;
    return value;
  };
  const dictionary = take([0, 1, 2, 4][descriptor & 3]);
  const sizeBytes = [single ? 1 : 0, 2, 4, 8][descriptor >> 6];
  const contentSize = sizeBytes ? take(sizeBytes) + (sizeBytes === 2 ? 256 : 0) : null;
  return {
    contentSize,
    windowSize: single ? contentSize : windowSize,
    hasDictionary: dictionary > 0,
    hasChecksum: Boolean(descriptor & 4),
    length: at,
  };
}

/** The content of a frame whose header was read and checked. Throws an Error. */
export function decompress(frame, { contentSize, windowSize, hasChecksum, length }) {
  const state = {
    out: new Uint8Array(contentSize),
    at: 0,
    most: Math.min(windowSize, MAX_BLOCK),
    huffman: null,
    tables: [null, null, null],
    offsets: [1, 4, 8],
  };
  let at = length;
  for (let last = false; !last; ) {
    if (at + 3 > frame.length) fail();
    const head = frame[at] | (frame[at + 1] << 8) | (frame[at + 2] << 16);
    at += 3;
    last = Boolean(head & 1);
    at += decodeBlock(state, (head >> 1) & 3, head >> 3, frame.subarray(at));
  }
  if (state.at !== contentSize) fail();
  const checksum = frame.subarray(at);
  if (checksum.length !== (hasChecksum ? 4 : 0)) fail("bytes after a zstd frame, or a frame that is cut short");
  if (hasChecksum) {
    const low = Number(xxh64(state.out) & 0xffffffffn);
    if (checksum.some((byte, i) => byte !== ((low >>> (8 * i)) & 255))) fail("the checksum of a zstd frame");
  }
  return state.out;
}

/** Decodes a block; returns how many bytes it takes. */
function decodeBlock(state, type, size, bytes) {
  const taken = type === 1 ? 1 : size;
  if (type === 3 || taken > bytes.length) fail();
  if (type === 2) {
    if (size > state.most || size < 2) fail();
    decodeCompressed(state, bytes.subarray(0, size));
  } else {
    room(state, size);
    if (type === 1) state.out.fill(bytes[0], state.at, state.at + size);
    else state.out.set(bytes.subarray(0, size), state.at);
    state.at += size;
  }
  return taken;
}

function room(state, count) {
  if (state.at + count > state.out.length) fail();
}

function decodeCompressed(state, block) {
  const { literals, length } = readLiterals(state, block);
  const bytes = block.subarray(length);
  const { count, sequences } = readSequences(state, bytes);
  let used = 0;
  if (count) used = execute(state, count, sequences, literals);
  const rest = literals.subarray(used);
  room(state, rest.length);
  state.out.set(rest, state.at);
  state.at += rest.length;
}

/** The literals of a block, and the length of their section. */
function readLiterals(state, block) {
  const type = block[0] & 3;
  const format = (block[0] >> 2) & 3;
  const word = block[0] + (block[1] ?? 0) * 2 ** 8 + (block[2] ?? 0) * 2 ** 16;
  if (type < 2) {
    const head = [1, 2, 1, 3][format];
    const size = head === 1 ? word & 255 : word;
    const count = Math.floor((head < 3 ? size & 0xffff : size) / (head === 1 ? 8 : 16));
    const length = head + (type === 0 ? count : 1);
    if (count > state.most || length > block.length) fail();
    const literals = type === 0 ? block.subarray(head, length) : new Uint8Array(count).fill(block[head]);
    return { literals, length };
  }
  if (block.length < 5) fail();
  const long = word + block[3] * 2 ** 24 + block[4] * 2 ** 32;
  const [head, bits] = [[3, 10], [3, 10], [4, 14], [5, 18]][format];
  const count = Math.floor(long / 16) % 2 ** bits;
  const length = head + (Math.floor(long / 2 ** (4 + bits)) % 2 ** bits);
  if (count > state.most || length > block.length || (format > 0 && count < 6)) fail();
  let coded = block.subarray(head, length);
  if (type === 2) {
    const read = readHuffman(coded);
    state.huffman = read.code;
    coded = coded.subarray(read.length);
  }
  if (!state.huffman) fail();
  const literals = new Uint8Array(count);
  if (format === 0) decodeHuffman(state.huffman, coded, literals);
  else decodeFour(state.huffman, coded, literals);
  return { literals, length };
}

function decodeFour(code, coded, out) {
  if (coded.length < 10) fail();
  const part = (out.length + 3) >> 2;
  let at = 6;
  for (let stream = 0; stream < 4; stream++) {
    const size = stream < 3 ? coded[2 * stream] | (coded[2 * stream + 1] << 8) : coded.length - at;
    if (at + size > coded.length) fail();
    decodeHuffman(code, coded.subarray(at, at + size), out.subarray(stream * part, (stream + 1) * part));
    at += size;
  }
}

/** How many sequences follow, and their bits with the tables set. */
function readSequences(state, bytes) {
  const first = bytes[0] ?? fail();
  let at = 1;
  let count = first;
  if (first === 0) {
    if (bytes.length !== 1) fail();
    return { count };
  }
  if (first > 127) {
    const second = bytes[at++] ?? fail();
    count = first < 255 ? ((first - 128) << 8) + second : second + ((bytes[at++] ?? fail()) << 8) + 0x7f00;
  }
  const modes = bytes[at++] ?? fail();
  if (modes & 3) fail();
  [LITERALS, OFFSETS, MATCHES].forEach((kind, index) => {
    at += readTable(state, index, kind, (modes >> (6 - 2 * index)) & 3, bytes.subarray(at));
  });
  return { count, sequences: new BackwardBits(bytes.subarray(at)) };
}

/** Sets one of the tables; returns how many bytes it takes. */
function readTable(state, index, kind, mode, bytes) {
  if (mode === 0) {
    state.tables[index] = fseTable(kind.counts, kind.log);
  } else if (mode === 1) {
    const symbol = bytes[0] ?? fail();
    if (symbol > kind.maxSymbol) fail();
    state.tables[index] = oneSymbol(symbol);
    return 1;
  } else if (mode === 2) {
    const { table, length } = readFse(bytes, kind.maxLog, kind.maxSymbol);
    state.tables[index] = table;
    return length;
  } else if (!state.tables[index]) {
    fail();
  }
  return 0;
}

/** Copies literals and matches of every sequence; returns how many literals they took. */
function execute(state, count, bits, literals) {
  const [literalTable, offsetTable, matchTable] = state.tables;
  const states = state.tables.map((table) => bits.take(table.log));
  let used = 0;
  for (let left = count; left > 0; left--) {
    const code = offsetTable.symbols[states[1]];
    const value = 2 ** code + bits.take(code);
    const matched = MATCH_LENGTHS[matchTable.symbols[states[2]]];
    const matchLength = matched.base + bits.take(matched.bits);
    const own = LITERAL_LENGTHS[literalTable.symbols[states[0]]];
    const literalLength = own.base + bits.take(own.bits);
    if (left > 1) {
      for (const index of [0, 2, 1]) {
        const table = state.tables[index];
        states[index] = table.bases[states[index]] + bits.take(table.bits[states[index]]);
      }
    }
    if (bits.left < 0 || used + literalLength > literals.length) fail();
    const offset = offsetOf(state.offsets, value, literalLength);
    room(state, literalLength + matchLength);
    state.out.set(literals.subarray(used, used + literalLength), state.at);
    used += literalLength;
    state.at += literalLength;
    copyMatch(state, offset, matchLength);
  }
  if (bits.left !== 0) fail();
  return used;
}

/** The offset of a match, by its value and the last three offsets, which it changes. */
function offsetOf(offsets, value, literalLength) {
  let offset = value - 3;
  let place = 2;
  if (value <= 3) {
    place = value - (literalLength ? 1 : 0);
    offset = place < 3 ? offsets[place] : offsets[0] - 1;
    place = Math.min(place, 2);
  }
  offsets.copyWithin(1, 0, place);
  offsets[0] = offset;
  return offset;
}

function copyMatch(state, offset, length) {
  if (offset < 1 || offset > state.at) fail();
  const { out } = state;
  for (let end = state.at + length; state.at < end; state.at++) out[state.at] = out[state.at - offset];
}
