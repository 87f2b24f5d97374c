// Geometry (aecodec/geometry.py): coded tiles, which are part of the format, and boxes in latent positions or pixels.

export const STRIDE = 8;
const HYPER_STRIDE = 32;
const TILE = 1024;

/** Half-open rows top..bottom and columns left..right. */
export function box(top, left, bottom, right) {
  return { top, left, bottom, right, rows: bottom - top, columns: right - left };
}

/** A box with `halo` more positions on every side, clipped to `whole`. */
export function grown(area, halo, whole) {
  return box(
    Math.max(area.top - halo, whole.top),
    Math.max(area.left - halo, whole.left),
    Math.min(area.bottom + halo, whole.bottom),
    Math.min(area.right + halo, whole.right),
  );
}

/** The smallest area that covers this one when a position is `factor` times as wide. */
export function coarser(area, factor) {
  return box(
    Math.floor(area.top / factor),
    Math.floor(area.left / factor),
    Math.ceil(area.bottom / factor),
    Math.ceil(area.right / factor),
  );
}

/** The intersection of two boxes; null if it is empty. */
export function shared(one, other) {
  const both = box(
    Math.max(one.top, other.top),
    Math.max(one.left, other.left),
    Math.min(one.bottom, other.bottom),
    Math.min(one.right, other.right),
  );
  return both.rows > 0 && both.columns > 0 ? both : null;
}

/** A box cut into boxes of at most `side`, in raster order. */
export function cut(area, side) {
  const boxes = [];
  for (let top = area.top; top < area.bottom; top += side) {
    for (let left = area.left; left < area.right; left += side) {
      boxes.push(box(top, left, Math.min(top + side, area.bottom), Math.min(left + side, area.right)));
    }
  }
  return boxes;
}

/** The latent field of a picture: sides padded to a multiple of 32 pixels, in positions of 8 pixels. */
export function latentField(width, height) {
  return box(0, 0, 4 * Math.ceil(height / HYPER_STRIDE), 4 * Math.ceil(width / HYPER_STRIDE));
}

export function tileCount(width, height) {
  return Math.ceil(width / TILE) * Math.ceil(height / TILE);
}

/** The coded tiles of a picture in raster order, in latent positions. */
export function tiles(width, height) {
  return cut(latentField(width, height), TILE / STRIDE);
}
