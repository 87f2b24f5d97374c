// Bytes to pixels: joins the parts of decoding (aecodec/codec/decoder.py). No option changes a pixel.

import { isCompact } from "./compact.js";
import { readHeader, unpack } from "./container.js";
import { AecError, OutsidePicture } from "./errors.js";
import { unpackExtras } from "./extras.js";
import { box, coarser, grown, latentField, shared, STRIDE, tiles } from "./geometry.js";
import { MAX_PIXELS, modeOf } from "./header.js";
import { decodeLatent } from "./latent_coding.js";
import { PrefixReader, StageReader, StreamReader } from "./symbols.js";
import { CODED_SIDE, reduce, synthesise, toGrey } from "./transforms.js";
import { FEATURES, LATENT_CHANNELS, STEPS } from "./weights.js";

const STAGES = 1 + STEPS; // of a stream: the hyper-latent and the context steps

/**
 * Decodes a file: { data, width, height, mode, share, complete, extras }, `data` RGBA. `load` gives a promise of the
 * model that a header names. `crop` is { x, y, width, height }; `partial` takes a file that ends early, too; `onStage`
 * gets the picture after the hyper-latent and after each context step but the last.
 */
export async function decodePicture(native, data, load, { maxPixels = MAX_PIXELS, crop, partial, onStage } = {}) {
  try {
    const { content, model } = await openFile(data, load, maxPixels, partial);
    const { header } = content;
    const area = crop ? areaOf(crop, header) : box(0, 0, header.height, header.width);
    const extras = await unpackExtras(content.extras, header.width, header.height);
    const prepared = native.prepare(model);
    const decoded = (stages) =>
      native.scoped(() => decodeArea(native, content, model, prepared, extras, area, stages));
    for (let stages = 1; onStage && stages < STAGES; stages++) onStage(decoded(stages), stages);
    return decoded(STAGES);
  } catch (error) {
    throw asAecError(error);
  }
}

/** Turns what the platform throws for lack of memory or by a trap into an AecError; returns other errors unchanged. */
function asAecError(error) {
  if (error instanceof WebAssembly.RuntimeError) return new AecError(`the decoder failed: ${error.message}`);
  return error instanceof RangeError ? new AecError(`out of memory: ${error.message}`) : error;
}

/** In this order, so that a file is refused for the first reason that the format names. */
async function openFile(data, load, maxPixels, partial) {
  if (isCompact(data)) {
    const model = await load(readHeader(data, maxPixels).weights);
    return { model, content: unpack(data, { weightsId: model.id, maxPixels, partial }) };
  }
  const content = unpack(data, { maxPixels, partial });
  return { content, model: await load(content.header.weights) };
}

function areaOf(crop, header) {
  const { x, y, width, height } = crop;
  const sides = [x, y, width, height];
  if (!sides.every(Number.isInteger)) {
    throw new OutsidePicture(`a crop is four whole numbers, x, y, width and height, not ${sides}`);
  }
  const inside = Math.min(x, y) >= 0 && Math.min(width, height) >= 1;
  if (!inside || x + width > header.width || y + height > header.height) {
    const size = `${header.width}x${header.height}`;
    throw new OutsidePicture(`the crop ${sides} (x, y, width, height) is not within the picture of ${size} pixels`);
  }
  return box(y, x, y + height, x + width);
}

/** An area of the picture, from up to `stages` of its streams' stages. */
function decodeArea(native, content, model, prepared, extras, area, stages) {
  const { header, complete } = content;
  const { width, height, quality } = header;
  const [shortHeight, shortWidth] = [height < CODED_SIDE, width < CODED_SIDE];
  const coded = box(
    shortHeight ? 0 : area.top,
    shortWidth ? 0 : area.left,
    shortHeight ? CODED_SIDE : area.bottom,
    shortWidth ? CODED_SIDE : area.right,
  );
  const whole = latentField(width, height);
  const seen = grown(coarser(coded, STRIDE), model.networks.synthesis.halo, whole);
  const field = decodeStreams(native, content, model, prepared, seen, stages);
  const samples = synthesise(native, model, prepared, field, whole, coded, quality);
  const reduced = reduce(samples, coded.rows, coded.columns, width, height);
  const pixels = cropped(reduced, shortHeight ? area.top : 0, shortWidth ? area.left : 0, area);
  if (header.grey) toGrey(pixels);
  if (extras.alpha) putAlpha(pixels, extras.alpha, area, width);
  const size = { width: area.columns, height: area.rows };
  return { data: pixels, ...size, mode: modeOf(header), share: field.share, complete, extras };
}

/** The area's rows and columns of a reduced picture, which has all of a short side. */
function cropped({ data, rows, columns }, top, left, area) {
  if (rows === area.rows && columns === area.columns) return data;
  const found = new Uint8ClampedArray(4 * area.rows * area.columns);
  for (let row = 0; row < area.rows; row++) {
    const from = 4 * ((top + row) * columns + left);
    found.set(data.subarray(from, from + 4 * area.columns), 4 * row * area.columns);
  }
  return found;
}

function putAlpha(pixels, alpha, area, width) {
  let to = 3;
  for (let row = area.top; row < area.bottom; row++) {
    for (let column = area.left; column < area.right; column++, to += 4) pixels[to] = alpha[row * width + column];
  }
}

/**
 * Decodes the tiles that touch an area of the field: { area, latent, features, share }, where `share` is the known part
 * of their symbols.
 */
function decodeStreams(native, content, model, prepared, area, stages) {
  const { width, height, quality } = content.header;
  const latent = new Int16Array(area.rows * area.columns * LATENT_CHANNELS);
  const features = new Int16Array(area.rows * area.columns * FEATURES);
  let [known, count] = [0, 0];
  tiles(width, height).forEach((tile, number) => {
    const common = shared(tile, area);
    if (!common) return;
    native.scoped(() => {
      const symbols = LATENT_CHANNELS * (tile.rows * tile.columns + (tile.rows * tile.columns) / 16);
      const source = readerOf(native, model, prepared, content.streams[number], symbols);
      const reader = stages === STAGES ? source : new StageReader(native, source, stages);
      const found = decodeLatent(native, model, prepared, reader, tile.rows, tile.columns, quality);
      copy(native, found.latent, tile, latent, area, common, LATENT_CHANNELS);
      copy(native, found.features, tile, features, area, common, FEATURES);
      known += source.known;
      count += symbols;
    });
  });
  return { area, latent, features, share: known / count };
}

function readerOf(native, model, prepared, { bytes, prefix }, symbols) {
  if (prefix) return new PrefixReader(native, model.tables, bytes);
  return new StreamReader(native, prepared, bytes, symbols);
}

/** Copies what a tile and an area share from the tile's array at `from` into the area's. */
function copy(native, from, tile, to, area, common, channels) {
  const values = native.view(Int16Array, from, tile.rows * tile.columns * channels);
  for (let row = common.top; row < common.bottom; row++) {
    const start = ((row - tile.top) * tile.columns + common.left - tile.left) * channels;
    const target = ((row - area.top) * area.columns + common.left - area.left) * channels;
    to.set(values.subarray(start, start + common.columns * channels), target);
  }
}
