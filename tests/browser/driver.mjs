// What the tests ask of the browser's decoder, in Node: a JSON object on standard input, its answer on standard output.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

const { ask, browser, weights = [], inputs, options = {} } = JSON.parse(readFileSync(0, "utf8"));
const from = (name) => import(new URL(name, browser).href);
const bytes = (text) => new Uint8Array(Buffer.from(text, "base64"));
const sha256 = (data) => createHash("sha256").update(data).digest("hex");

/** The pixels as Python has them: without the channels that RGBA adds to the mode. */
function pixels({ data, width, height, mode }) {
  const channels = { L: [0], LA: [0, 3], RGB: [0, 1, 2], RGBA: [0, 1, 2, 3] }[mode];
  const out = new Uint8Array(width * height * channels.length);
  for (let at = 0, to = 0; at < data.length; at += 4) for (const channel of channels) out[to++] = data[at + channel];
  return { shape: channels.length > 1 ? [height, width, channels.length] : [height, width], sha256: sha256(out) };
}

async function answer(run) {
  const start = process.cpuUsage().user;
  let found;
  try {
    found = await run();
  } catch (error) {
    const { AecError } = await from("aec.js");
    found = { refusal: error.name, message: error.message, stack: error instanceof AecError ? "" : error.stack };
  }
  return { ...found, seconds: (process.cpuUsage().user - start) / 1e6 };
}

const ASKED = {
  async decode() {
    const { decode } = await from("aec.js");
    const given = weights.map((path) => readFileSync(path));
    const all = [];
    for (const input of inputs) {
      const data = bytes(input);
      all.push(
        await answer(async () => {
          const stages = [];
          const onProgress = options.stages ? (image) => stages.push(pixels(image)) : undefined;
          const image = await decode(data, { weights: given, ...options, onProgress });
          return { ...pixels(image), share: image.share, complete: image.complete, stages };
        }),
      );
    }
    return all;
  },

  async info() {
    const { readInfo } = await from("aec.js");
    return Promise.all(inputs.map((input) => answer(() => readInfo(bytes(input), options))));
  },

  /** Each input in base64 is JSON: layers, weights, numbers, x and side with their shapes, and what is wanted. */
  async networks() {
    const [{ compile, Native }, { packLayers, parseLayers }] = [await from("decoder/native.js"), await from("decoder/layers.js")];
    const native = await Native.create(await compile(readFileSync(new URL("aec.wasm", browser))));
    const put = (values) => native.put(Int16Array.from(values));
    return inputs.map((input) => {
      const { layers, weights, numbers, x, side, size, wanted } = JSON.parse(Buffer.from(input, "base64"));
      return native.scoped(() => {
        const own = { weights: Int8Array.from(weights), numbers: Int32Array.from(numbers) };
        const network = native.prepareNetwork({ entries: packLayers(parseLayers(layers)), ...own }, "of a test");
        const y = native.run(network, size, put(x), size.sideChannels ? put(side) : 0, wanted);
        return Array.from(native.view(Int16Array, y, (native.top - y) / 2));
      });
    });
  },

  async zstd() {
    const { frameHeader, decompress } = await from("decoder/zstd.js");
    const content = (frame) => ({ content: Buffer.from(decompress(frame, frameHeader(frame))).toString("base64") });
    return Promise.all(inputs.map((input) => answer(() => content(bytes(input)))));
  },

  async hashes() {
    const { plainSha256 } = await from("decoder/sha256.js");
    return inputs.map((input) => Buffer.from(plainSha256(bytes(input))).toString("hex"));
  },
};

process.stdout.write(JSON.stringify(await ASKED[ask]()));
