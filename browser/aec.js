// Decodes .aec files to the very pixels that Python gives. See README.md.

import { readHeader } from "./decoder/container.js";
import { Engine } from "./decoder/engine.js";
import { UnsupportedBrowser } from "./decoder/errors.js";
import { fetchBytes } from "./decoder/fetching.js";
import { MAX_PIXELS, modeOf, namesOf } from "./decoder/header.js";
import { MODELS } from "./decoder/models.js";
import { compile } from "./decoder/native.js";
import { Pool } from "./decoder/pool.js";
import { sourceOf } from "./decoder/sources.js";

export * from "./decoder/errors.js";
export { MAX_PIXELS };

const MOST_WORKERS = 4;
const settings = {
  weights: new URL("weights/", import.meta.url).href,
  wasm: new URL("aec.wasm", import.meta.url).href,
  workers: Math.min(MOST_WORKERS, globalThis.navigator?.hardwareConcurrency || 1),
};
let module; // promise of the compiled module
let pool;
let engine; // where there are no workers

/**
 * Sets defaults, before the first picture: `weights` as in `decode`; `wasm`, the URL or the bytes of aec.wasm;
 * `workers`, how many at most, 0 to decode in the calling thread.
 */
export function configure(options) {
  Object.assign(settings, options);
}

/** What a file says of itself, from its first 36 bytes. Throws CorruptFile, HeaderLimitExceeded, UnsupportedVersion. */
export function readInfo(bytes, { maxPixels = MAX_PIXELS } = {}) {
  const data = asBytes(bytes);
  const header = readHeader(data, maxPixels);
  const [width, height] = header.display ?? [header.width, header.height];
  const model = typeof header.weights === "number" ? MODELS[header.weights] : byId(header.weights);
  return {
    version: 1,
    width,
    height,
    codedWidth: header.width,
    codedHeight: header.height,
    mode: modeOf(header),
    extras: namesOf(header),
    qualityIndex: header.quality,
    model: model?.name ?? null,
    weightsId: typeof header.weights === "string" ? header.weights : (model?.id ?? null),
    tiles: header.tiles,
    compact: header.compact !== null,
    cut: header.cut,
    sizeBytes: data.length,
  };
}

function byId(id) {
  return Object.values(MODELS).find((model) => model.id === id);
}

/**
 * The pixels of a file, as an ImageData (a plain object without that class) with `mode`, `share` and `complete` as in
 * Python. Rejects with one of the errors above. aec.d.ts describes the options.
 */
export async function decode(bytes, options = {}) {
  const { weights = settings.weights, maxPixels, crop, partial, signal, onProgress } = options;
  const data = asBytes(bytes);
  readHeader(data, maxPixels); // refused here, before a worker starts
  const find = sourceOf(weights);
  const wanted = { maxPixels, crop, partial };
  const onStage = onProgress && ((picture, stage) => onProgress(toImageData(picture), stage));
  if (settings.workers > 0 && typeof Worker === "function") {
    pool ??= new Pool(startWorker, settings.workers);
    const task = { find, onStage, signal };
    return toImageData(await pool.decode(data, { ...wanted, stages: Boolean(onStage) }, task));
  }
  signal?.throwIfAborted();
  engine ??= compiled().then((found) => Engine.create(found));
  return toImageData(await (await engine).decode(data, find, { ...wanted, onStage }));
}

function asBytes(bytes) {
  if (bytes instanceof ArrayBuffer) return new Uint8Array(bytes);
  if (ArrayBuffer.isView(bytes)) return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  throw new TypeError("an .aec file must be given as an ArrayBuffer or a view of one");
}

function toImageData({ data, width, height, mode, share, complete }) {
  const image = typeof ImageData === "function" ? new ImageData(data, width, height) : { data, width, height };
  return Object.assign(image, { mode, share, complete });
}

async function startWorker() {
  const compiledModule = await compiled();
  let worker;
  try {
    worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
  } catch (error) {
    throw new UnsupportedBrowser(`the decoder's worker does not start: ${error.message}`);
  }
  worker.postMessage({ module: compiledModule });
  return worker;
}

function compiled() {
  if (!module) {
    module = wasmBytes().then(compile);
    module.catch(() => (module = undefined));
  }
  return module;
}

async function wasmBytes() {
  const { wasm } = settings;
  return typeof wasm === "string" ? fetchBytes(wasm, UnsupportedBrowser) : wasm;
}
