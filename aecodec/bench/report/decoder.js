"use strict";

// Decodes .aec files in a worker; its code, the module and the weights stand in the page as gzip in base64.
class PageDecoder {
  static KEPT = 8; // decoded pictures, so that going back is instant

  constructor(parts) {
    this.parts = parts;
    this.kept = new Map(); // version -> promise of its pixels
    this.last = Promise.resolve(); // the worker takes one picture at a time
  }

  // A canvas that gets the version's pixels, or gives way to a line that says why there are none.
  show(version, part, name) {
    const canvas = element("canvas", { width: part.width, height: part.height, role: "img", "aria-label": name });
    this.pixels(version, part).then(
      (pixels) => canvas.getContext("2d").putImageData(pixels, 0, 0),
      (error) => canvas.replaceWith(element("p", { className: "failed" }, `The picture cannot be decoded here: ${error.message}`)));
    return canvas;
  }

  pixels(version, { left, top, width, height }) {
    if (!this.kept.has(version)) {
      const crop = { x: left, y: top, width, height };
      const pixels = this.last.then(() => this.decode(version.aec, crop));
      this.last = pixels.catch(() => this.kept.delete(version));
      this.kept.set(version, pixels);
      if (this.kept.size > PageDecoder.KEPT) this.kept.delete(this.kept.keys().next().value);
    }
    return this.kept.get(version);
  }

  async decode(aec, crop) {
    this.worker ??= await this.start();
    return new Promise((resolve, reject) => {
      this.worker.onmessage = ({ data: { need, picture, error } }) => {
        if (need) PageDecoder.unpacked(this.parts.weights[need]).then(
          (weights) => this.worker.postMessage({ id: need, weights }),
          ({ name, message }) => this.worker.postMessage({ id: need, error: { name, message } }));
        else if (error) reject(error);
        else resolve(new ImageData(picture.data, picture.width, picture.height));
      };
      this.worker.onerror = ({ message }) => reject(new Error(message || "its worker does not start"));
      this.worker.postMessage({ job: 1, bytes: PageDecoder.bytes(aec), options: { crop } });
    });
  }

  async start() {
    if (typeof DecompressionStream !== "function") throw new Error("it is too old (no DecompressionStream)");
    const [script, wasm] = await Promise.all([this.parts.script, this.parts.wasm].map(PageDecoder.unpacked));
    const worker = new Worker(URL.createObjectURL(new Blob([script], { type: "text/javascript" })));
    worker.postMessage({ module: wasm });
    return worker;
  }

  static bytes(base64) { return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0)); }

  static async unpacked(base64) {
    const stream = new Blob([PageDecoder.bytes(base64)]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }
}
