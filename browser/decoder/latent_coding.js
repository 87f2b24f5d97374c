// The latent of one coded tile: hyper-latent, then four context steps (aecodec/codec/latent_coding.py).

import { CONTEXT_BITS, FEATURE_BITS, FEATURES, LATENT_CHANNELS, STEPS } from "./weights.js";

const SEEN = FEATURES + LATENT_CHANNELS;
const PLACE = [0, 2, 3, 1]; // the n where P[n] is the position in its 2x2 tile
const UNIT = 64;

const [WORD, CONTEXT_LIMIT, FEATURE_LIMIT] = [16, CONTEXT_BITS, FEATURE_BITS].map((bits) => 2 ** (bits - 1));

/** `value` clipped to -limit..limit - 1. */
function clip(value, limit) {
  return value < -limit ? -limit : value >= limit ? limit - 1 : value;
}

/** floor(x 2^-shift + 1/2) clipped to what context and hyper networks see, of a 16-bit x. */
function narrow(x, shift) {
  return clip((x + ((1 << shift) >> 1)) >> shift, CONTEXT_LIMIT);
}

/**
 * Reads the latent of a tile of `rows` x `columns` positions with a `reader` of symbols. Returns where features
 * [rows, columns, 32] and decoded latents [rows, columns, 16] in 1/64, both int16, are; to be called in `scoped`.
 */
export function decodeLatent(native, model, prepared, reader, rows, columns, quality) {
  const positions = rows * columns;
  const buffers = {
    index: native.allocate(4 * positions),
    symbols: native.allocate(16 * positions),
    latent: native.allocate(2 * positions * LATENT_CHANNELS),
    seen: native.allocate(2 * positions * SEEN),
  };
  const features = decodeFeatures(native, model, prepared, reader, rows / 4, columns / 4, quality, buffers);
  spread(native, features, buffers, positions);
  for (let step = 0; step < STEPS; step++) {
    const size = { rows, columns, channels: step ? SEEN : FEATURES };
    native.scoped(() => {
      const out = native.run(prepared.networks[`context${step}`], size, step ? buffers.seen : features);
      readStep(native, model, reader, step, rows, columns, out, buffers);
    });
  }
  reader.finish();
  return { features, latent: buffers.latent };
}

/** The hyper-latent, and what its network makes of it. */
function decodeFeatures(native, model, prepared, reader, rows, columns, quality, { index, symbols }) {
  const count = rows * columns * LATENT_CHANNELS;
  const row = quality * LATENT_CHANNELS;
  const indexes = native.view(Uint8Array, index, count);
  for (let i = 0; i < count; i++) indexes[i] = model.hyperIndex[row + (i % LATENT_CHANNELS)];
  reader.read(index, count, symbols);
  const x = native.allocate(2 * count);
  const [found, seen] = [native.view(Int32Array, symbols, count), native.view(Int16Array, x, count)];
  for (let i = 0; i < count; i++) {
    const hyper = clip(UNIT * found[i] + model.hyperMean[row + (i % LATENT_CHANNELS)], WORD);
    seen[i] = narrow(hyper, model.hyperShift);
  }
  const features = native.run(prepared.networks.hyper_synthesis, { rows, columns, channels: LATENT_CHANNELS }, x);
  const values = native.view(Int16Array, features, 16 * rows * columns * FEATURES);
  const bias = model.featureBias.subarray(quality * FEATURES, (quality + 1) * FEATURES);
  for (let i = 0; i < values.length; i++) values[i] = clip(values[i] + bias[i % FEATURES], FEATURE_LIMIT);
  return features;
}

/** Features as the first channels of what later steps see; the others are 0, as is the latent. */
function spread(native, features, { seen, latent }, positions) {
  const from = native.view(Int16Array, features, positions * FEATURES);
  const to = native.view(Int16Array, seen, positions * SEEN).fill(0);
  for (let p = 0; p < positions; p++) to.set(from.subarray(p * FEATURES, (p + 1) * FEATURES), p * SEEN);
  native.view(Int16Array, latent, positions * LATENT_CHANNELS).fill(0);
}

/** Reads four channels at every position, with means and scale indexes from the context network's output at `out`. */
function readStep(native, model, reader, step, rows, columns, out, { index, symbols, latent, seen }) {
  const positions = rows * columns;
  const count = 4 * positions;
  const parameters = native.view(Int16Array, out, positions * 2 * LATENT_CHANNELS);
  const indexes = native.view(Uint8Array, index, count);
  const firstChannel = (p) => {
    const [row, column] = [Math.floor(p / columns), p % columns];
    return 4 * (step ^ PLACE[2 * (row % 2) + (column % 2)]);
  };
  for (let p = 0; p < positions; p++) {
    const from = p * 2 * LATENT_CHANNELS + LATENT_CHANNELS + firstChannel(p);
    for (let k = 0; k < 4; k++) indexes[4 * p + k] = parameters[from + k];
  }
  reader.read(index, count, symbols);
  const found = native.view(Int32Array, symbols, count);
  const decoded = native.view(Int16Array, latent, positions * LATENT_CHANNELS);
  const inputs = native.view(Int16Array, seen, positions * SEEN);
  for (let p = 0; p < positions; p++) {
    const channel = firstChannel(p);
    for (let k = 0; k < 4; k++) {
      const value = clip(UNIT * found[4 * p + k] + parameters[p * 2 * LATENT_CHANNELS + channel + k], WORD);
      decoded[p * LATENT_CHANNELS + channel + k] = value;
      inputs[p * SEEN + FEATURES + channel + k] = narrow(value, model.latentShift);
    }
  }
}
