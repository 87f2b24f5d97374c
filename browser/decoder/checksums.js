// The checksums of both forms: CRC-32 as zlib has it, CRC-8 and CRC-16 of the compact form (aecodec/format/compact.py).

const CRC32 = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  return crc;
});

/** CRC-32 of some pieces, one after the other. */
export function crc32(...pieces) {
  let crc = 0xffffffff;
  for (const piece of pieces) {
    for (const byte of piece) crc = (crc >>> 8) ^ CRC32[(crc ^ byte) & 255];
  }
  return ~crc >>> 0;
}

/** A CRC of 8 or 16 bits, the most significant bit first. */
function shortCrc(bits, polynomial, start, pieces) {
  const [top, mask] = [1 << (bits - 1), (1 << bits) - 1];
  let crc = start;
  for (const piece of pieces) {
    for (const byte of piece) {
      crc ^= byte << (bits - 8);
      for (let bit = 0; bit < 8; bit++) crc = ((crc << 1) ^ (crc & top ? polynomial : 0)) & mask;
    }
  }
  return crc;
}

/** Bytes of each kind of checksum of a compact file. */
export const CHECK_BYTES = [0, 1, 2, 4];

/** The checksum of a compact file, of the kind that its lead names. */
export function compactChecksum(check, ...pieces) {
  if (check === 0) return 0;
  if (check === 1) return shortCrc(8, 0x07, 0, pieces);
  return check === 2 ? shortCrc(16, 0x1021, 0xffff, pieces) : crc32(...pieces);
}

/** The number that some bytes are, big-endian. */
export function bigEndian(bytes) {
  return bytes.reduce((value, byte) => value * 256 + byte, 0);
}
