// The native code (aec.wasm): its memory, and networks in it. aecodec/native/aecodec.h defines the structures.

import { AecError, UnknownWeights, UnsupportedBrowser } from "./errors.js";
import { CONTEXT_BITS, FEATURE_BITS } from "./weights.js";

const PAGE = 65536;
const ALIGNMENT = 64;
const SET = 0; // the best one comes first
const CALL_BYTES = 56;
const INPUT_BOUND = 2 ** (CONTEXT_BITS - 1); // of latents, in every network
const SIDE_BOUND = 2 ** (FEATURE_BITS - 1);

// A module with one SIMD instruction.
const SIMD = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11];

/** The compiled module. Throws UnsupportedBrowser. */
export async function compile(bytes) {
  if (typeof WebAssembly !== "object" || !WebAssembly.validate(new Uint8Array(SIMD))) {
    throw new UnsupportedBrowser("this browser has no WebAssembly SIMD, which decoding .aec pictures needs");
  }
  try {
    return await WebAssembly.compile(bytes);
  } catch (error) {
    throw new UnsupportedBrowser(`aec.wasm does not compile: ${error.message}`);
  }
}

/** An instance of the module, and the models that were prepared in its memory. */
export class Native {
  static async create(module) {
    const { exports } = await WebAssembly.instantiate(module, {});
    return new Native(exports);
  }

  constructor(exports) {
    this.code = exports;
    this.top = exports.__heap_base.value;
    this.models = new Map();
  }

  /** Memory that nothing else uses, until the `scoped` call around it ends. */
  allocate(size) {
    const at = Math.ceil(this.top / ALIGNMENT) * ALIGNMENT;
    const missing = at + size - this.code.memory.buffer.byteLength;
    if (missing > 0) {
      try {
        this.code.memory.grow(Math.ceil(missing / PAGE));
      } catch {
        throw new AecError("out of memory");
      }
    }
    this.top = at + size;
    return at;
  }

  scoped(run) {
    const mark = this.top;
    try {
      return run();
    } finally {
      this.top = mark;
    }
  }

  /** A view of `count` elements. It ends with the next `allocate`, which may move the memory. */
  view(type, at, count) {
    return new type(this.code.memory.buffer, at, count);
  }

  put(array) {
    const at = this.allocate(array.byteLength);
    this.view(array.constructor, at, array.length).set(array);
    return at;
  }

  /** A model's networks and tables in this memory, where they stay. */
  prepare(model) {
    let prepared = this.models.get(model.id);
    if (!prepared) {
      const mark = this.top;
      try {
        const networks = Object.entries(model.networks).map(([name, own]) => [name, this.prepareNetwork(own, model.id)]);
        prepared = { networks: Object.fromEntries(networks), ...this.prepareTables(model) };
      } catch (error) {
        this.top = mark;
        throw error;
      }
      this.models.set(model.id, prepared);
    }
    return prepared;
  }

  prepareNetwork({ entries, weights, numbers }, id) {
    const count = entries.length / 10;
    const size = this.scoped(() => Number(this.code.aec_prepared_size(SET, this.put(entries), count)));
    if (size < 0) throw new UnknownWeights(`weights ${id}: layers that the decoder does not have`);
    const at = this.allocate(size);
    const failed = this.scoped(() => {
      const [layersAt, weightsAt, numbersAt] = [this.put(entries), this.put(weights), this.put(numbers)];
      const counts = [BigInt(weights.length), BigInt(numbers.length)];
      return this.code.aec_prepare(SET, layersAt, count, weightsAt, counts[0], numbersAt, counts[1], at);
    });
    if (failed) throw new UnknownWeights(`weights ${id}: numbers that do not fit 16 bits, which only Python decodes`);
    return at;
  }

  prepareTables({ id, tables: { starts, lengths, sums } }) {
    const sumsAt = this.put(sums);
    const tablesAt = this.put(Int32Array.from([...starts, ...lengths, sums.length]));
    if (this.code.aec_check_tables(tablesAt, sumsAt)) throw new UnknownWeights(`weights ${id}: a table that is none`);
    return { tablesAt, sumsAt };
  }

  /**
   * Runs a network on int16 at `x`, and `side`, for the `wanted` area; returns where the output is. To be called in
   * `scoped`. `size` is { rows, columns, channels, sideChannels } of the inputs.
   */
  run(network, size, x, side = 0, wanted = { top: 0, left: 0, bottom: size.rows, right: size.columns }) {
    const call = this.allocate(CALL_BYTES);
    const { rows, columns, channels, sideChannels = 0 } = size;
    const { top, left, bottom, right } = wanted;
    const fields = [rows, columns, channels, sideChannels, INPUT_BOUND, SIDE_BOUND, top, left, bottom, right];
    this.view(Int32Array, call, CALL_BYTES / 4).fill(0).set(fields);
    const memorySize = this.code.aec_plan(network, call);
    if (memorySize < 0n) throw new UnknownWeights("weights with sums that the decoder does not hold");
    const [outRows, outColumns, outChannels] = this.view(Int32Array, call, CALL_BYTES / 4).subarray(10);
    const y = this.allocate(2 * outRows * outColumns * outChannels);
    this.scoped(() => {
      const memory = this.allocate(Number(memorySize));
      if (this.code.aec_run(network, call, x, side, y, memory, memorySize)) throw new AecError("a network did not run");
    });
    return y;
  }
}
