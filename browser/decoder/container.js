// Takes a file of either form apart; checks 1 to 7 of the format (aecodec/format/container.py).

import { bigEndian, crc32 } from "./checksums.js";
import { isCompact, parseCompact, unpackCompact } from "./compact.js";
import { CorruptFile } from "./errors.js";
import { Fields, makeHeader, MAX_PIXELS, parseFields } from "./header.js";

const MISMATCH = "damaged file: a checksum does not match";
const COMPACT_MISMATCH = "damaged file, or no .aec file: its checksum does not match";
const SHORT_CHECK = 1; // a checksum of a byte fits one prefix in 256

/** Header from a file's first bytes, in either form; no checksum is compared. */
export function readHeader(data, maxPixels = MAX_PIXELS) {
  return (isCompact(data) ? parseCompact(data, maxPixels) : parseFields(data, maxPixels)).header;
}

/**
 * A file's content: { header, streams, extras, complete }. A stream is { bytes, prefix }, where `prefix` says that it
 * may end anywhere; `extras` has a part for each kind.
 *
 * `weightsId` is that of the weights that a compact file names. `partial` also takes a file that ends anywhere after
 * its header: streams that are not whole are then prefixes, and extras that are not whole are left out.
 */
export function unpack(data, { weightsId = null, maxPixels = MAX_PIXELS, partial = false } = {}) {
  if (isCompact(data)) {
    const { header, stream, sound } = unpackCompact(data, maxPixels, weightsId);
    const complete = sound && !(partial && header.compact <= SHORT_CHECK);
    return oneStream(header, stream, complete, partial, COMPACT_MISMATCH);
  }
  const { header, crcAt } = parseFields(data, maxPixels);
  const fields = data.subarray(0, crcAt);
  const crc = bigEndian(data.subarray(crcAt, crcAt + 4));
  if (header.parts === 1) {
    const stream = data.subarray(crcAt + 4);
    return oneStream(header, stream, crc32(fields, stream) === crc, partial, MISMATCH);
  }
  return unpackParts(data, header, fields, crc, partial);
}

function oneStream(header, bytes, complete, partial, mismatch) {
  if (!complete && !partial) throw new CorruptFile(mismatch);
  return { header, streams: [{ bytes, prefix: header.cut || !complete }], extras: new Map(), complete };
}

function unpackParts(data, header, fields, crc, partial) {
  const body = new Fields(data, fields.length + 4);
  const bodyAt = body.at;
  let entries;
  try {
    entries = parseDirectory(body, header.parts);
  } catch (error) {
    if (!partial || !(error instanceof CorruptFile)) throw error;
    const streams = Array.from({ length: header.tiles }, () => ({ bytes: data.subarray(0, 0), prefix: true }));
    return { header: makeHeader({ ...header, extras: 0 }), streams, extras: new Map(), complete: false };
  }
  const missing = entries.reduce((sum, entry) => sum + entry.length, body.at) - data.length;
  if (missing < 0) throw new CorruptFile(`damaged file: ${-missing} bytes after its end`);
  if (missing > 0 && !partial) throw new CorruptFile("damaged file: it is cut short");
  if (crc32(fields, data.subarray(bodyAt, body.at)) !== crc) throw new CorruptFile(MISMATCH);
  const parts = takeParts(data, body.at, entries);
  const extras = new Map();
  header.kinds.forEach((kind, index) => {
    const part = parts[header.tiles + index];
    if (part.whole) extras.set(kind, part.bytes);
  });
  const streams = parts.slice(0, header.tiles).map(({ bytes, whole }) => ({ bytes, prefix: header.cut || !whole }));
  const found = missing > 0 ? makeHeader({ ...header, extras: [...extras.keys()].reduce((a, b) => a + b, 0) }) : header;
  return { header: found, streams, extras, complete: missing === 0 };
}

function parseDirectory(body, count) {
  const entries = [];
  for (let part = 0; part < count; part++) entries.push({ length: body.varint(), crc: bigEndian(body.take(4)) });
  return entries;
}

function takeParts(data, at, entries) {
  let start = at;
  return entries.map(({ length, crc }) => {
    const bytes = data.subarray(Math.min(start, data.length), Math.min(start + length, data.length));
    start += length;
    const whole = bytes.length === length;
    if (whole && crc32(bytes) !== crc) throw new CorruptFile(MISMATCH);
    return { bytes, whole };
  });
}
