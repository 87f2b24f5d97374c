// What a file holds beside its streams (aecodec/format/extras.py): alpha, ICC profile, EXIF and XMP, all lossless.

import { CorruptFile } from "./errors.js";
import { EXTRA } from "./header.js";

const MAX_METADATA_BYTES = 1 << 22;
const MAX_WINDOW_BYTES = 1 << 23;
const ALONG_ROWS = 1;
const DOWN_COLUMNS = 2;

/** { alpha, icc, exif, xmp } from the parts of a file; what it does not hold is null. Throws CorruptFile. */
export async function unpackExtras(parts, width, height) {
  const found = { alpha: null, icc: null, exif: null, xmp: null };
  if (!parts.size) return found;
  const zstd = await import("./zstd.js");
  for (const name of ["icc", "exif", "xmp", "alpha"]) {
    const part = parts.get(EXTRA[name.toUpperCase()]);
    if (!part) continue;
    found[name] = name === "alpha" ? unpackAlpha(zstd, part, width, height) : decompress(zstd, part);
  }
  return found;
}

function unpackAlpha(zstd, part, width, height) {
  if (!part.length || part[0] > 3) throw new CorruptFile("damaged file: an alpha filter of an unknown kind");
  const alpha = decompress(zstd, part.subarray(1), width * height);
  if (part[0] & ALONG_ROWS) {
    for (let at = 0; at < alpha.length; at++) if (at % width) alpha[at] += alpha[at - 1];
  }
  if (part[0] & DOWN_COLUMNS) {
    for (let at = width; at < alpha.length; at++) alpha[at] += alpha[at - width];
  }
  return alpha;
}

/** The content of a frame: `size` bytes, or at most MAX_METADATA_BYTES, known before anything is allocated. */
function decompress(zstd, frame, size = null) {
  try {
    const said = zstd.frameHeader(frame);
    checkFrame(said, size);
    return zstd.decompress(frame, said);
  } catch (error) {
    if (error instanceof CorruptFile || error instanceof RangeError) throw error;
    throw new CorruptFile(`damaged file: ${error.message}`);
  }
}

function checkFrame({ contentSize, windowSize, hasDictionary }, size) {
  if (contentSize === null) throw new CorruptFile("damaged file: an extra does not say how long it is");
  const fits = size === null ? contentSize >= 1 && contentSize <= MAX_METADATA_BYTES : contentSize === size;
  if (!fits) {
    const wanted = size ?? `1 to ${MAX_METADATA_BYTES}`;
    throw new CorruptFile(`damaged file: an extra of ${contentSize} bytes, where ${wanted} are allowed`);
  }
  if (hasDictionary || windowSize > MAX_WINDOW_BYTES) {
    throw new CorruptFile("damaged file: an extra needs a dictionary or too large a window");
  }
}
