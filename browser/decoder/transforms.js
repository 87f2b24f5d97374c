// From the latent of a field to samples, in blocks that keep memory small (aecodec/codec/transforms.py and small.py).

import { box, cut, grown, STRIDE } from "./geometry.js";
import { FEATURES, LATENT_CHANNELS, SYNTHESIS_BITS } from "./weights.js";

const BLOCK = 64; // side of a block in latent positions: 512 pixels
const PIXEL_EXPONENT = 7;
export const CODED_SIDE = 32; // shorter sides are coded at this one

/**
 * Samples of an `area` in samples, as RGBA with an alpha of 255. `field` has the latent and the features of the box
 * `field.area`, which has all that the area depends on; `whole` is the picture's field.
 */
export function synthesise(native, model, prepared, field, whole, area, quality) {
  const samples = new Uint8ClampedArray(4 * area.rows * area.columns);
  const { halo, exponent } = model.networks.synthesis;
  const core = box(
    Math.floor(area.top / STRIDE),
    Math.floor(area.left / STRIDE),
    Math.ceil(area.bottom / STRIDE),
    Math.ceil(area.right / STRIDE),
  );
  for (const block of cut(core, BLOCK)) {
    native.scoped(() => {
      const seen = grown(block, halo, whole);
      const x = putLatent(native, model, field, seen, quality);
      const side = putFeatures(native, field, seen);
      const size = { rows: seen.rows, columns: seen.columns, channels: LATENT_CHANNELS, sideChannels: FEATURES };
      const y = native.run(prepared.networks.synthesis, size, x, side, within(block, seen));
      const found = native.view(Int16Array, y, 3 * STRIDE * STRIDE * block.rows * block.columns);
      putSamples(found, block, samples, area, exponent - PIXEL_EXPONENT);
    });
  }
  return samples;
}

function within(area, whole) {
  return box(area.top - whole.top, area.left - whole.left, area.bottom - whole.top, area.right - whole.left);
}

/** The latent after its inverse gain, 12 bits wide. A product takes up to 47 bits: a double holds it. */
function putLatent(native, model, field, seen, quality) {
  const at = native.allocate(2 * seen.rows * seen.columns * LATENT_CHANNELS);
  const to = native.view(Int16Array, at, seen.rows * seen.columns * LATENT_CHANNELS);
  const gain = model.inverseGain.subarray(quality * LATENT_CHANNELS, (quality + 1) * LATENT_CHANNELS);
  const down = 2 ** -model.inverseShift;
  const limit = 2 ** (SYNTHESIS_BITS - 1);
  let target = 0;
  eachRow(field, seen, LATENT_CHANNELS, (start, end) => {
    for (let i = start; i < end; i++, target++) {
      const value = Math.floor(field.latent[i] * gain[i % LATENT_CHANNELS] * down + 0.5);
      to[target] = value < -limit ? -limit : value >= limit ? limit - 1 : value;
    }
  });
  return at;
}

function putFeatures(native, field, seen) {
  const at = native.allocate(2 * seen.rows * seen.columns * FEATURES);
  const to = native.view(Int16Array, at, seen.rows * seen.columns * FEATURES);
  let target = 0;
  eachRow(field, seen, FEATURES, (start, end) => {
    to.set(field.features.subarray(start, end), target);
    target += end - start;
  });
  return at;
}

/** Calls with the range of each row of `seen` in an array over the field. */
function eachRow({ area }, seen, channels, call) {
  for (let row = seen.top; row < seen.bottom; row++) {
    const start = ((row - area.top) * area.columns + seen.left - area.left) * channels;
    call(start, start + seen.columns * channels);
  }
}

/**
 * floor(y 2^-down) + 128, clipped to 0..255 by the array, of the part of a block that is in the area. In 32 bits: a
 * factor of 2^9 clips every int16 but 0, as a larger one does.
 */
function putSamples(found, block, samples, area, down) {
  const columns = block.columns * STRIDE;
  const [top, left] = [block.top * STRIDE, block.left * STRIDE];
  const [firstRow, lastRow] = [Math.max(top, area.top), Math.min(block.bottom * STRIDE, area.bottom)];
  const [firstColumn, lastColumn] = [Math.max(left, area.left), Math.min(block.right * STRIDE, area.right)];
  const [factor, shift] = [2 ** Math.min(Math.max(-down, 0), 9), Math.max(down, 0)];
  for (let row = firstRow; row < lastRow; row++) {
    let from = 3 * ((row - top) * columns + firstColumn - left);
    let to = 4 * ((row - area.top) * area.columns + firstColumn - area.left);
    for (let column = firstColumn; column < lastColumn; column++) {
      samples[to++] = ((found[from++] * factor) >> shift) + 128;
      samples[to++] = ((found[from++] * factor) >> shift) + 128;
      samples[to++] = ((found[from++] * factor) >> shift) + 128;
      samples[to++] = 255;
    }
  }
}

/**
 * The means that are the pixels of a picture whose sides may be below 32: `samples` RGBA [rows, columns], on a short
 * axis all 32 of them. Returns { data, rows, columns }.
 */
export function reduce(samples, rows, columns, width, height) {
  const down = height < CODED_SIDE ? overlap(height) : null;
  const across = width < CODED_SIDE ? overlap(width) : null;
  if (!down && !across) return { data: samples, rows, columns };
  const [outRows, outColumns] = [down ? height : rows, across ? width : columns];
  const share = (down ? CODED_SIDE : 1) * (across ? CODED_SIDE : 1);
  const data = new Uint8ClampedArray(4 * outRows * outColumns);
  const single = (place) => [[place, 1]];
  for (let i = 0; i < outRows; i++) {
    for (let j = 0; j < outColumns; j++) {
      for (let channel = 0; channel < 4; channel++) {
        let total = 0;
        for (const [y, part] of down ? down[i] : single(i)) {
          for (const [x, own] of across ? across[j] : single(j)) {
            total += part * own * samples[4 * (y * columns + x) + channel];
          }
        }
        data[4 * (i * outColumns + j) + channel] = Math.floor((2 * total + share) / (2 * share));
      }
    }
  }
  return { data, rows: outRows, columns: outColumns };
}

/** For each of `side` pixels the samples of 32 that it covers, and how much of each, of 32 in all. */
function overlap(side) {
  return Array.from({ length: side }, (_, pixel) => {
    const parts = [];
    for (let sample = 0; sample < CODED_SIDE; sample++) {
      const end = Math.min((pixel + 1) * CODED_SIDE, (sample + 1) * side);
      const part = end - Math.max(pixel * CODED_SIDE, sample * side);
      if (part > 0) parts.push([sample, part]);
    }
    return parts;
  });
}

/** Makes RGBA grey, in place. */
export function toGrey(data) {
  for (let at = 0; at < data.length; at += 4) {
    const grey = (19595 * data[at] + 38470 * data[at + 1] + 7471 * data[at + 2] + 32768) >> 16;
    data[at] = data[at + 1] = data[at + 2] = grey;
  }
}
