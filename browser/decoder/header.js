// The header: its record for both forms of a file, and checks 1 to 5 of the full one (aecodec/format/header.py).

import { tileCount } from "./geometry.js";
import { CorruptFile, HeaderLimitExceeded, UnsupportedVersion } from "./errors.js";

export const MAX_PIXELS = 178_956_970;
const MAX_SIDE = 65_535;
const MAGIC = [0xae, 0x43, 0x0d, 0x0a];
const VERSION = 1;
const GREY = 1;
const EXTRAS = 2;
const DISPLAY = 4;
const CUT = 8;
const OTHER_WEIGHTS = 255;
const VARINT_BYTES = 5;

/** What a file can hold beside its streams, in the order of its parts. */
export const EXTRA = Object.freeze({ ALPHA: 1, ICC: 2, EXIF: 4, XMP: 8 });

/** Takes a file apart from its start. Throws CorruptFile at its end. */
export class Fields {
  constructor(data, at = 0) {
    this.data = data;
    this.at = at;
  }

  take(count) {
    if (this.at + count > this.data.length) throw new CorruptFile("damaged file: it is cut short");
    this.at += count;
    return this.data.subarray(this.at - count, this.at);
  }

  byte() {
    return this.take(1)[0];
  }

  varint() {
    let value = 0;
    for (let index = 0; index < VARINT_BYTES; index++) {
      const byte = this.byte();
      value += (byte & 127) * 2 ** (7 * index);
      if (byte < 128) {
        if (byte === 0 && index > 0) break;
        return value;
      }
    }
    throw new CorruptFile("damaged file: a number is not in its shortest form");
  }
}

/**
 * What a file states about its picture. `weights` is the number of a registered model or the id of other weights, eight
 * hex digits; `extras` the sum of the kinds; `display` [width, height] of the picture that a reduced one stands for, or
 * null; `compact` the kind of checksum of a compact file, 0 to 3, or null.
 */
export function makeHeader(fields) {
  const { width, height, extras = 0 } = fields;
  const kinds = Object.values(EXTRA).filter((kind) => extras & kind);
  const tiles = tileCount(width, height);
  return Object.freeze({
    grey: false,
    display: null,
    cut: false,
    compact: null,
    ...fields,
    extras,
    kinds,
    tiles,
    parts: tiles + kinds.length,
  });
}

/** The mode of a picture as Python names it: L, LA, RGB or RGBA. */
export function modeOf({ grey, extras }) {
  return (grey ? "L" : "RGB") + (extras & EXTRA.ALPHA ? "A" : "");
}

/** The kinds of extras by name. */
export function namesOf({ extras }) {
  return Object.keys(EXTRA)
    .filter((name) => extras & EXTRA[name])
    .map((name) => name.toLowerCase());
}

/** Checks 1 to 5 of the full form: the header, and the position of its checksum, which is known to be there. */
export function parseFields(data, maxPixels) {
  if (MAGIC.some((byte, index) => data[index] !== byte)) throw new CorruptFile("not an .aec file");
  const fields = new Fields(data, MAGIC.length);
  const first = fields.byte();
  const [version, flags] = [first >> 4, first & 15];
  if (version > VERSION) {
    throw new UnsupportedVersion(`format version ${version}: this reader knows version ${VERSION}; upgrade aecodec`);
  }
  if (version < VERSION) {
    throw new UnsupportedVersion(
      `format version ${version}: that of development versions, which is no longer read`,
    );
  }
  const number = fields.byte();
  const weights = number === OTHER_WEIGHTS ? hex(fields.take(4)) : number;
  const [width, height] = parseSize(fields, maxPixels);
  const display = flags & DISPLAY ? parseSize(fields, maxPixels) : null;
  if (display && display[0] === width && display[1] === height) {
    throw new CorruptFile("damaged file: a display size that is the picture's own");
  }
  const quality = fields.byte();
  const extras = flags & EXTRAS ? parseExtras(fields.byte()) : 0;
  const crcAt = fields.at;
  fields.take(4);
  const header = makeHeader({
    width,
    height,
    quality,
    weights,
    grey: Boolean(flags & GREY),
    extras,
    display,
    cut: Boolean(flags & CUT),
  });
  return { header, crcAt };
}

export function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function parseSize(fields, maxPixels) {
  const size = [fields.varint(), fields.varint()];
  checkSides(...size, maxPixels);
  return size;
}

function parseExtras(kinds) {
  if (kinds & ~15) throw new CorruptFile("damaged file: extras of an unknown kind");
  if (!kinds) throw new CorruptFile("damaged file: no extras although its flags announce some");
  return kinds;
}

/** Throws CorruptFile for a side of 0, HeaderLimitExceeded for a side or a picture over its limit. */
export function checkSides(width, height, maxPixels) {
  if (!width || !height) throw new CorruptFile(`damaged file: a picture of ${width}x${height} pixels`);
  const long = Math.max(width, height) > MAX_SIDE;
  if (long || height > Math.floor(maxPixels / width)) {
    const limit = long ? `${MAX_SIDE} a side` : `${maxPixels} in all`;
    throw new HeaderLimitExceeded(`the header asks for ${width}x${height} pixels: the limit is ${limit}`);
  }
}
