// The compact form: one coded tile without extras behind a few bytes (aecodec/format/compact.py).

import { bigEndian, CHECK_BYTES, compactChecksum } from "./checksums.js";
import { CorruptFile } from "./errors.js";
import { latentField } from "./geometry.js";
import { checkSides, Fields, hex, makeHeader } from "./header.js";

const FIRST_LEAD = 0xc0;
const LAST_LEAD = 0xf7;
const LONG_MODEL = 6;
const OTHER_WEIGHTS = 127;
const REDUCED = 0xe0;
const MOST_BYTES_A_POSITION = 17 * 5; // 17 symbols with the hyper-latent's, of 35 bits at most

/** Whether a file, by its first byte, can be of the compact form and not of the full one. */
export function isCompact(data) {
  return data.length > 0 && data[0] >= FIRST_LEAD && data[0] <= LAST_LEAD;
}

/** Checks 1 to 4: the header, and the position of its checksum, which is known to be there. */
export function parseCompact(data, maxPixels) {
  const fields = new Fields(data);
  const lead = fields.byte();
  const compact = lead & 3;
  const [weights, cut] = parseModel(fields, (lead >> 3) & 7);
  const quality = fields.byte();
  const sidesAt = fields.at;
  const [[width, height], display] = parseSides(fields);
  checkSides(width, height, maxPixels);
  if (display) checkSides(...display, maxPixels);
  const checkAt = fields.at;
  fields.take(CHECK_BYTES[compact]);
  const header = makeHeader({ width, height, quality, weights, grey: Boolean(lead & 4), display, cut, compact });
  if (header.tiles > 1 || !equal(packSides(header), data.subarray(sidesAt, checkAt))) {
    throw new CorruptFile("damaged file: its sides are not in their shortest form");
  }
  return { header, checkAt };
}

/** Header, stream, and whether the checksum matches, which covers the id of the weights. */
export function unpackCompact(data, maxPixels, weightsId) {
  const { header, checkAt } = parseCompact(data, maxPixels);
  const end = checkAt + CHECK_BYTES[header.compact];
  const stream = data.subarray(end);
  const { rows, columns } = latentField(header.width, header.height);
  if (stream.length > rows * columns * MOST_BYTES_A_POSITION) {
    throw new CorruptFile("damaged file, or no .aec file: it is longer than its picture can be");
  }
  const id = weightsId.match(/../g).map((digits) => parseInt(digits, 16));
  const found = compactChecksum(header.compact, id, data.subarray(0, checkAt), stream);
  return { header, stream, sound: found === bigEndian(data.subarray(checkAt, end)) };
}

function parseModel(fields, model) {
  if (model < LONG_MODEL) return [model, false];
  const byte = fields.byte();
  const [cut, number] = [byte > 127, byte & 127];
  if (number === OTHER_WEIGHTS) return [hex(fields.take(4)), cut];
  if (number < LONG_MODEL && !cut) throw new CorruptFile("damaged file: its model is not in its shortest form");
  return [number, cut];
}

/** Size, and display size or null. */
function parseSides(fields) {
  const first = fields.byte();
  if (first < REDUCED) {
    fields.at--;
    return [parseSize(fields), null];
  }
  const display = parseSize(fields);
  if (!Math.min(...display)) throw new CorruptFile(`damaged file: a picture of ${display.join("x")} pixels`);
  const longer = 8 * ((first & 31) + 1);
  const most = Math.max(...display);
  const size = display.map((side) => Math.max(1, Math.floor((2 * longer * side + most) / (2 * most))));
  if (equal(size, display)) throw new CorruptFile("damaged file: a display size that is the picture's own");
  return [size, display];
}

function parseSize(fields) {
  const first = fields.byte();
  if (first < 0x80) return [8 * (first + 1), 8 * (first + 1)];
  if (first < 0xc0) {
    const value = (first << 8) | fields.byte();
    return [((value >> 7) & 127) + 1, (value & 127) + 1];
  }
  if (first < REDUCED) {
    const [second, third] = fields.take(2);
    const value = (first << 16) | (second << 8) | third;
    return [((value >> 11) & 1023) + 1, ((value >> 1) & 1023) + 1];
  }
  return [fields.varint(), fields.varint()];
}

function packSides({ width, height, display }) {
  if (!display) return packSize(width, height);
  return [REDUCED | (Math.floor(Math.max(width, height) / 8) - 1), ...packSize(...display)];
}

function packSize(width, height) {
  if (width === height && width % 8 === 0 && width <= 1024) return [width / 8 - 1];
  if (Math.max(width, height) <= 128) {
    const value = 0x8000 | ((width - 1) << 7) | (height - 1);
    return [value >> 8, value & 255];
  }
  if (Math.max(width, height) <= 1024) {
    const value = 0xc00000 | ((width - 1) << 11) | ((height - 1) << 1);
    return [value >> 16, (value >> 8) & 255, value & 255];
  }
  return [255, ...packVarint(width), ...packVarint(height)];
}

function packVarint(value) {
  return value > 127 ? [(value & 127) | 128, ...packVarint(value >> 7)] : [value];
}

function equal(one, other) {
  return one.length === other.length && one.every((value, index) => value === other[index]);
}
