// Finds weights: given bytes first, then files at a URL, which are fetched once and kept in the Cache API.

import { UnknownWeights } from "./errors.js";
import { fetchBytes } from "./fetching.js";
import { MODELS } from "./models.js";
import { idOf } from "./weights.js";

const CACHE = "aecodec-weights";
const fetched = new Map(); // URL -> promise of bytes

/** The id of the weights that a header names, eight hex digits. Throws UnknownWeights for an unknown number. */
export function idOfNamed(weights) {
  if (typeof weights === "string") return weights;
  if (Object.hasOwn(MODELS, weights)) return MODELS[weights].id;
  const known = Object.entries(MODELS).map(([number, { name }]) => `${number} (${name})`);
  throw new UnknownWeights(`needs model number ${weights}, which this decoder does not have (known: ${known.join(", ")})`);
}

/**
 * A function from an id to a promise of the bytes of its file. `weights` is a URL of a folder with files ID.safetensors,
 * the bytes of a file, or a list of these, which are tried in turn.
 */
export function sourceOf(weights) {
  const sources = Array.isArray(weights) ? weights : [weights];
  return async (id) => {
    for (const own of sources.filter(isBytes)) {
      const bytes = ArrayBuffer.isView(own) ? new Uint8Array(own.buffer, own.byteOffset, own.byteLength) : new Uint8Array(own);
      if ((await idOf(bytes)) === id) return bytes;
    }
    let failure = new UnknownWeights(`needs weights ${id}, which were not given`);
    for (const base of sources.filter((own) => !isBytes(own))) {
      try {
        return await fetchOnce(fileUrl(base, id), id);
      } catch (error) {
        failure = error;
      }
    }
    throw failure;
  };
}

function isBytes(source) {
  return source instanceof ArrayBuffer || ArrayBuffer.isView(source);
}

function fileUrl(base, id) {
  const folder = new URL(base, globalThis.document?.baseURI);
  if (!folder.pathname.endsWith("/")) folder.pathname += "/";
  return new URL(`${id}.safetensors`, folder).href;
}

function fetchOnce(url, id) {
  if (!fetched.has(url)) {
    const bytes = findOrFetch(url, id);
    fetched.set(url, bytes);
    bytes.catch(() => fetched.delete(url)); // the next picture tries again
  }
  return fetched.get(url);
}

async function findOrFetch(url, id) {
  const cache = await openCache();
  const kept = await cache?.match(url).catch(() => undefined);
  if (kept) {
    const bytes = new Uint8Array(await kept.arrayBuffer());
    if ((await idOf(bytes)) === id) return bytes;
    await cache.delete(url);
  }
  const bytes = await fetchBytes(url, UnknownWeights);
  if ((await idOf(bytes)) !== id) throw new UnknownWeights(`${url}: damaged, its hash does not begin with ${id}`);
  await cache?.put(url, new Response(bytes)).catch(() => {}); // no room: fetched again another time
  return bytes;
}

/** The cache, or undefined where the page may have none. */
async function openCache() {
  try {
    return await globalThis.caches?.open(CACHE);
  } catch {
    return undefined;
  }
}
