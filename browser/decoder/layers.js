// The kinds of layer (aecodec/network/layers.py): their fields checked, and the list that the native code takes.

const KINDS = { Conv: 0, Depthwise: 1, Residual: 2, Side: 3, Shuffle: 4, Repeat: 5 };
const RANGES = {
  inputs: [1, 4096],
  outputs: [1, 4096],
  channels: [1, 4096],
  kernel: [1, 16],
  stride: [1, 16],
  factor: [1, 16],
  padding: [0, 15],
  crop: [0, 15],
};
const FIELDS = {
  Conv: ["inputs", "outputs", "kernel", "stride", "padding"],
  Depthwise: ["channels"],
  Residual: [],
  Side: [],
  Shuffle: ["factor", "crop"],
  Repeat: ["factor"],
};
const DEFAULTS = { kernel: 1, stride: 1, padding: 0 };
const MAX_SCALE = 8; // no field is finer than the pixels: that of the latent, 8 times as many rows and columns
const MAX_NESTING = 4;
const MAX_LAYERS = 256;
const FIELDS_OF_ENTRY = 10;

/** Throws an Error, of which the caller makes UnknownWeights. */
export function require(condition, message) {
  if (!condition) throw new Error(message);
}

/** Layers from the description of a weights file. */
export function parseLayers(described, nesting = 0) {
  require(Array.isArray(described) && described.length >= 1 && described.length <= MAX_LAYERS, "a list of layers");
  require(nesting <= MAX_NESTING, "bodies within bodies");
  return described.map((fields) => {
    const kind = fields.layer;
    require(Object.hasOwn(FIELDS, kind), `a layer ${kind}`);
    const layer = { kind, active: fields.active === true };
    for (const name of FIELDS[kind]) {
      const value = fields[name] ?? DEFAULTS[name];
      const [low, high] = RANGES[name];
      require(Number.isInteger(value) && value >= low && value <= high, `${name} ${value} of a layer`);
      layer[name] = value;
    }
    if (kind === "Residual" || kind === "Side") layer.body = parseLayers(fields.body, nesting + 1);
    return layer;
  });
}

/** Rows and outputs of a layer's weights; null if it has none. */
export function weightShape(layer) {
  if (layer.kind === "Conv") return [layer.kernel ** 2 * layer.inputs, layer.outputs];
  return layer.kind === "Depthwise" ? [9, layer.channels] : null;
}

/** Every layer with its path, depth first, in order of execution. */
export function* walk(layers, prefix) {
  for (const [position, layer] of layers.entries()) {
    const path = `${prefix}.${position}`;
    yield [path, layer];
    if (layer.body) yield* walk(layer.body, path);
  }
}

/** One-sided reach of a network in positions of the coarsest field: the halo that a block needs. */
export function receptiveField(layers) {
  let sum = 0;
  for (const layer of layers) {
    if (layer.kind === "Conv") {
      const beyond = Math.max(layer.padding, layer.kernel - layer.padding - layer.stride);
      sum += Math.ceil(beyond / layer.stride);
    } else if (layer.kind === "Depthwise") {
      sum += 1;
    } else if (layer.body) {
      sum += receptiveField(layer.body);
    }
  }
  return sum;
}

/** The size of a network's output: `scale` m + `more` rows for m positions. Throws if its layers do not fit together. */
export function extent(layers, x, side) {
  for (const layer of layers) {
    x = extentOf(layer, x, side);
    require(x.scale >= 1 && x.scale <= MAX_SCALE && x.scale + x.more >= 1, "a field that is empty or too fine");
  }
  return x;
}

function extentOf(layer, x, side) {
  switch (layer.kind) {
    case "Conv": {
      const beyond = x.more + 2 * layer.padding - layer.kernel;
      require(x.channels === layer.inputs && x.scale % layer.stride === 0 && x.scale + beyond >= 0, "Conv");
      const more = Math.floor(beyond / layer.stride) + 1;
      return { channels: layer.outputs, scale: x.scale / layer.stride, more };
    }
    case "Depthwise":
      require(x.channels === layer.channels, "Depthwise");
      return x;
    case "Residual":
      return sum(layer, x, extent(layer.body, x, side));
    case "Side":
      require(side, "a second input");
      return sum(layer, x, extent(layer.body, side, side));
    case "Shuffle": {
      const { factor, crop } = layer;
      require(x.channels % factor ** 2 === 0, "Shuffle");
      return { channels: x.channels / factor ** 2, scale: factor * x.scale, more: factor * x.more - 2 * crop };
    }
    default:
      return { channels: x.channels, scale: layer.factor * x.scale, more: layer.factor * x.more };
  }
}

function sum(layer, x, body) {
  require(x.scale === body.scale && x.more === body.more && weightShape(layer.body.at(-1)), "a sum");
  return body;
}

/** The layers as the native code takes them, an array of AecLayer (aecodec/native/aecodec.h). */
export function packLayers(layers) {
  const entries = [];
  const add = (list) => {
    for (const layer of list) {
      const at = entries.length;
      entries.push(null);
      if (layer.body) add(layer.body);
      entries[at] = entry(layer, entries.length - at);
    }
  };
  add(layers);
  return Int32Array.from(entries.flat());
}

function entry(layer, entries) {
  const fields = new Array(FIELDS_OF_ENTRY).fill(0);
  fields[0] = KINDS[layer.kind];
  fields[1] = entries;
  if (layer.kind === "Conv") {
    const { inputs, outputs, kernel, stride, padding, active } = layer;
    fields.splice(2, 6, inputs, outputs, kernel, stride, padding, Number(active));
  } else if (layer.kind === "Depthwise") {
    fields.splice(2, 6, layer.channels, layer.channels, 3, 1, 1, 0);
  }
  fields[8] = layer.factor ?? 0;
  fields[9] = layer.crop ?? 0;
  return fields;
}
