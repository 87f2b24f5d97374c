// XXH64 with seed 0, the checksum that a zstd frame may end in.

const [P1, P2, P3, P4, P5] = [
  0x9e3779b185ebca87n,
  0xc2b2ae3d27d4eb4fn,
  0x165667b19e3779f9n,
  0x85ebca77c2b2ae63n,
  0x27d4eb2f165667c5n,
];
const word = (value) => BigInt.asUintN(64, value);
const rotated = (value, count) => word(value << count) | (value >> (64n - count));
const round = (sum, input) => word(rotated(word(sum + input * P2), 31n) * P1);

export function xxh64(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let at = 0;
  let hash = P5;
  if (bytes.length >= 32) {
    const sums = [word(P1 + P2), P2, 0n, word(-P1)];
    for (; at + 32 <= bytes.length; at += 32) {
      for (let lane = 0; lane < 4; lane++) sums[lane] = round(sums[lane], view.getBigUint64(at + 8 * lane, true));
    }
    hash = word([1n, 7n, 12n, 18n].reduce((sum, count, lane) => sum + rotated(sums[lane], count), 0n));
    for (const sum of sums) hash = word((hash ^ round(0n, sum)) * P1 + P4);
  }
  hash = word(hash + BigInt(bytes.length));
  for (; at + 8 <= bytes.length; at += 8) {
    hash = word(rotated(hash ^ round(0n, view.getBigUint64(at, true)), 27n) * P1 + P4);
  }
  for (; at + 4 <= bytes.length; at += 4) {
    hash = word(rotated(hash ^ word(BigInt(view.getUint32(at, true)) * P1), 23n) * P2 + P3);
  }
  for (; at < bytes.length; at++) hash = word(rotated(hash ^ word(BigInt(bytes[at]) * P5), 11n) * P1);
  hash = word((hash ^ (hash >> 33n)) * P2);
  hash = word((hash ^ (hash >> 29n)) * P3);
  return hash ^ (hash >> 32n);
}
