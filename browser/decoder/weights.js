// Reads the decoding half of a model, a safetensors file (aecodec/codec/weights.py).

import { UnknownWeights } from "./errors.js";
import { hex } from "./header.js";
import { extent, packLayers, parseLayers, receptiveField, require, walk, weightShape } from "./layers.js";
import { sha256 } from "./sha256.js";

export const LATENT_CHANNELS = 16;
export const FEATURES = 32;
export const STEPS = 4;
export const CONTEXT_BITS = 12;
export const FEATURE_BITS = 11;
export const SYNTHESIS_BITS = 12;
export const SCALES = 64;
export const MAX_SYMBOL = 1024;
const TOTAL = 2 ** 24;
const QUALITIES = 256;
const MAX_HEADER_BYTES = 100_000_000;

const ARRAYS = {
  I8: Int8Array,
  U8: Uint8Array,
  I16: Int16Array,
  U16: Uint16Array,
  I32: Int32Array,
  U32: Uint32Array,
  I64: BigInt64Array,
  U64: BigUint64Array,
};

// Input, output and second input of each network, for m positions of its coarsest field.
const field = (channels, scale = 1) => ({ channels, scale, more: 0 });
const CONTEXT = [field(FEATURES + LATENT_CHANNELS), field(2 * LATENT_CHANNELS), null];
const EXTENTS = {
  hyper_synthesis: [field(LATENT_CHANNELS), field(FEATURES, 4), null],
  synthesis: [field(LATENT_CHANNELS), field(3, 8), field(FEATURES)],
  context0: [field(FEATURES), field(2 * LATENT_CHANNELS), null],
  context1: CONTEXT,
  context2: CONTEXT,
  context3: CONTEXT,
};

/** The weights id of a file: the first four bytes of its hash, as hex digits. */
export async function idOf(bytes) {
  return hex((await sha256(bytes)).subarray(0, 4));
}

/** The decoding half from the bytes of its file. Throws UnknownWeights if they are invalid. */
export function parseWeights(bytes, id) {
  try {
    const file = new WeightsFile(bytes);
    const networks = Object.fromEntries(Object.keys(EXTENTS).map((name) => [name, file.network(name)]));
    const model = {
      id,
      networks,
      tables: file.tables(),
      hyperMean: file.integers("hyper_mean", QUALITIES, LATENT_CHANNELS),
      hyperIndex: file.integers("hyper_index", QUALITIES, LATENT_CHANNELS),
      featureBias: file.integers("feature_bias", QUALITIES, FEATURES),
      inverseGain: file.integers("inverse_gain", QUALITIES, LATENT_CHANNELS),
      latentShift: whole("latent_shift", file.description.latent_shift, 0, 16),
      hyperShift: whole("hyper_shift", file.description.hyper_shift, 0, 16),
      inverseShift: whole("inverse_shift", file.description.inverse_shift, 1, 48),
    };
    checkIndexes(model);
    return Object.freeze(model);
  } catch (error) {
    throw new UnknownWeights(`weights ${id}: not weights of this version (${error.message})`);
  }
}

function whole(name, value, low, high) {
  require(Number.isInteger(value) && value >= low && value <= high, `${name} ${value}`);
  return value;
}

/** Throws if a scale index can have no table. */
function checkIndexes({ networks, hyperIndex }) {
  const indexes = [...hyperIndex];
  for (let step = 0; step < STEPS; step++) {
    const { numbers, outputs } = networks[`context${step}`].last;
    for (const row of [2, 3]) {
      indexes.push(...numbers.subarray(row * outputs + LATENT_CHANNELS, (row + 1) * outputs));
    }
  }
  require(indexes.every((index) => index >= 0 && index < SCALES), "a scale index without a table");
}

class WeightsFile {
  constructor(bytes) {
    require(bytes.length >= 8, "too short");
    const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
    require(length <= MAX_HEADER_BYTES && 8 + length <= bytes.length, "its header is longer than the file");
    const header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(8, 8 + length)));
    this.description = JSON.parse(header.__metadata__.description);
    this.tensors = new Map();
    const data = bytes.subarray(8 + length);
    const entries = Object.entries(header).filter(([name]) => name !== "__metadata__");
    let end = 0;
    for (const [name, entry] of entries.sort(([, a], [, b]) => a.data_offsets[0] - b.data_offsets[0])) {
      require(entry.data_offsets[0] === end, `tensor ${name} leaves a gap`);
      const values = tensor(entry, data);
      this.tensors.set(name, { values, shape: entry.shape });
      end = entry.data_offsets[1];
    }
    require(end === data.length, "bytes after its tensors");
  }

  values(name, ...shape) {
    const found = this.tensors.get(name);
    require(found, `no tensor ${name}`);
    const fits = found.shape.length === shape.length && shape.every((size, axis) => size === found.shape[axis]);
    require(fits, `tensor ${name} has shape ${found.shape}, not ${shape}`);
    return found.values;
  }

  /** Numbers of at most 32 bits. */
  integers(name, ...shape) {
    return Int32Array.from(this.values(name, ...shape), (value) => {
      require(value >= -(2 ** 31) && value < 2 ** 31, `tensor ${name} holds numbers beyond 32 bits`);
      return Number(value);
    });
  }

  /** As many integers, which the file may hold as one if they are all equal. */
  integersOrOne(name, count) {
    const [size] = this.tensors.get(name)?.shape ?? [];
    return size === 1 ? new Int32Array(count).fill(this.integers(name, 1)[0]) : this.integers(name, count);
  }

  /** The probability tables as running sums, one after the other, and last the one of escaped symbols. */
  tables() {
    const supports = this.integers("tables.supports", SCALES);
    require(supports.every((support) => support > 0 && support <= MAX_SYMBOL), "the support of a table");
    const lengths = [...supports].map((support) => 2 * support + 2);
    const count = lengths.reduce((sum, length) => sum + length, 0);
    const frequencies = this.integers("tables.frequencies", count);
    const escapes = 2 * MAX_SYMBOL + 1;
    const sums = new Uint32Array(count + escapes + SCALES + 1);
    const starts = [];
    let at = 0;
    let from = 0;
    for (const length of lengths) {
      starts.push(at);
      const own = frequencies.subarray(from, (from += length));
      at = addSums(sums, at, own);
    }
    starts.push(at);
    const share = Math.floor(TOTAL / escapes);
    addSums(sums, at, new Int32Array(escapes).fill(share).fill(TOTAL - share * (escapes - 1), -1));
    return { supports, starts, lengths: [...lengths, escapes], sums };
  }

  network(name) {
    const described = this.description.networks[name];
    const layers = parseLayers(described.layers);
    const [before, after, side] = EXTENTS[name];
    const found = extent(layers, before, side);
    const fits = ["channels", "scale", "more"].every((key) => found[key] === after[key]);
    require(fits, `the network ${name} gives another field than its place needs`);
    const own = [...walk(layers, name)].filter(([, layer]) => weightShape(layer));
    const parts = own.map(([path, layer]) => this.parameters(path, ...weightShape(layer)));
    return {
      entries: packLayers(layers),
      weights: joined(Int8Array, parts.map((part) => part.weight)),
      numbers: joined(Int32Array, parts.map((part) => part.numbers)),
      last: parts.at(-1),
      halo: receptiveField(layers),
      exponent: whole("exponent", described.exponent, -31, 31),
    };
  }

  parameters(path, rows, outputs) {
    const weight = this.values(`${path}.weight`, rows, outputs);
    require(weight instanceof Int8Array, `tensor ${path}.weight is not int8`);
    const own = ["bias", "shift"].map((part) => this.integers(`${path}.${part}`, outputs));
    const bounds = ["low", "high"].map((part) => this.integersOrOne(`${path}.${part}`, outputs));
    return { weight, numbers: joined(Int32Array, [...own, ...bounds]), outputs };
  }
}

function tensor({ dtype, shape, data_offsets: [start, end] }, data) {
  require(Object.hasOwn(ARRAYS, dtype), `dtype ${dtype}`);
  require(end <= data.length && start <= end, "a tensor beyond the file");
  const type = ARRAYS[dtype];
  const count = shape.reduce((product, size) => product * size, 1);
  require(count * type.BYTES_PER_ELEMENT === end - start, "a tensor of another length than its shape");
  return new type(data.slice(start, end).buffer); // a copy, so that it is aligned
}

function addSums(sums, at, frequencies) {
  let total = 0;
  for (const frequency of frequencies) {
    require(frequency >= 1, "a frequency below 1");
    sums[at++] = total;
    total += frequency;
  }
  require(total === TOTAL, "a table that does not sum to 2^24");
  sums[at++] = total;
  return at;
}

function joined(type, arrays) {
  const whole = new type(arrays.reduce((sum, array) => sum + array.length, 0));
  let at = 0;
  for (const array of arrays) {
    whole.set(array, at);
    at += array.length;
  }
  return whole;
}
