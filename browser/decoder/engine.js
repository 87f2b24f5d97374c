// One decoder with its memory: what a worker holds, and a page or Node without workers.

import { compile, Native } from "./native.js";
import { decodePicture } from "./decoder.js";
import { idOfNamed } from "./sources.js";
import { parseWeights } from "./weights.js";

export class Engine {
  /** `module` is aec.wasm, compiled or as bytes. */
  static async create(module) {
    return new Engine(await Native.create(module instanceof WebAssembly.Module ? module : await compile(module)));
  }

  constructor(native) {
    this.native = native;
    this.models = new Map();
  }

  /** As `decodePicture`; `find` gives a promise of the bytes of the weights of an id. */
  decode(bytes, find, options) {
    return decodePicture(this.native, bytes, (named) => this.model(idOfNamed(named), find), options);
  }

  async model(id, find) {
    if (!this.models.has(id)) this.models.set(id, parseWeights(await find(id), id));
    return this.models.get(id);
  }
}
