// <aec-img src="photo.aec" alt="..." width="256" height="256" loading="lazy">: an .aec picture that acts like <img>.

import { decode, MAX_PIXELS, readInfo } from "./aec.js";
import { AecError, CorruptFile } from "./decoder/errors.js";

const HEADER_BYTES = 36;
const NEAR = "300px"; // how far outside the window a lazy picture starts to load
const TEXTS = ["src", "alt", "loading", "weights"];
const SIZES = ["width", "height"];
const STYLE = `
  :host { display: inline-block; position: relative; overflow: clip; }
  :host([hidden]), [hidden] { display: none !important; }
  canvas, img { display: block; width: 100%; height: 100%; object-fit: inherit; object-position: inherit; }
  img { position: absolute; inset: 0; }
`;

/** Pictures that wait until they come near the window. */
const observer = globalThis.IntersectionObserver && new IntersectionObserver(show, { rootMargin: NEAR });

function show(entries) {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    observer.unobserve(target);
    target.fetchPicture();
  }
}

export class AecImg extends HTMLElement {
  static observedAttributes = [...TEXTS, ...SIZES];

  #internals = this.attachInternals();
  #canvas = document.createElement("canvas");
  #instead = document.createElement("slot");
  #message = document.createElement("span");
  #rule;
  #connected = false;
  #loading = null; // the AbortController of the picture that is under way
  #png = null; // an <img> over the canvas, for its context menu
  #state = { complete: true, info: null };

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet(); // which no Content-Security-Policy forbids, as it may a <style>
    sheet.replaceSync(STYLE);
    this.#rule = sheet.cssRules[sheet.insertRule(":host {}")].style; // the page's own rules win over it
    root.adoptedStyleSheets = [sheet];
    this.#canvas.part = "picture";
    this.#canvas.width = this.#canvas.height = 0;
    this.#message.part = "message";
    root.append(this.#canvas, this.#instead, this.#message);
    this.#setFailed(false);
    this.#canvas.addEventListener("pointerdown", (event) => event.button === 2 && this.#offerPng());
  }

  connectedCallback() {
    this.#connected = true;
    this.#describe();
    this.#restart();
  }

  disconnectedCallback() {
    this.#connected = false;
    this.#stop();
  }

  attributeChangedCallback(name) {
    if (SIZES.includes(name)) this.#layOut();
    else if (name === "alt") this.#describe();
    else if (this.#connected) this.#restart();
  }

  /** Whether nothing is under way. */
  get complete() {
    return this.#state.complete;
  }

  /** What the header says, as `readInfo` gives it; null before it is there. */
  get info() {
    return this.#state.info;
  }

  get naturalWidth() {
    return this.#state.info?.width ?? 0;
  }

  get naturalHeight() {
    return this.#state.info?.height ?? 0;
  }

  get currentSrc() {
    return this.hasAttribute("src") ? new URL(this.src, document.baseURI).href : "";
  }

  /** A promise of a PNG of the picture. */
  toBlob() {
    return new Promise((resolve) => this.#canvas.toBlob(resolve));
  }

  /** A promise that is kept once the picture is shown. */
  decode() {
    if (this.complete) return this.#state.error ? Promise.reject(this.#state.error) : Promise.resolve();
    return new Promise((resolve, reject) => {
      this.addEventListener("load", () => resolve(), { once: true });
      this.addEventListener("error", ({ error }) => reject(error), { once: true });
    });
  }

  #stop() {
    this.#loading?.abort();
    this.#loading = null;
    observer?.unobserve(this);
  }

  #restart() {
    this.#stop();
    this.#state = { complete: !this.hasAttribute("src"), info: null };
    if (this.#state.complete) return;
    if (this.loading === "lazy" && observer) observer.observe(this);
    else this.fetchPicture();
  }

  /** Loads and shows the picture now, even a lazy one. */
  async fetchPicture() {
    this.#loading?.abort();
    const loading = (this.#loading = new AbortController());
    const { signal } = loading;
    try {
      await this.#show(signal);
      this.#end(signal, new Event("load"));
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof AecError)) console.error(error);
      this.#fail(error);
      this.#end(signal, new ErrorEvent("error", { error, message: error.message }));
    }
  }

  #end(signal, event) {
    if (signal.aborted) return;
    this.#state.complete = true;
    this.#loading = null;
    this.dispatchEvent(event);
  }

  async #show(signal) {
    const weights = this.weights ? new URL(this.weights, document.baseURI).href : undefined;
    const maxPixels = Number(this.getAttribute("max-pixels")) || MAX_PIXELS;
    const options = { weights, maxPixels, signal };
    const progressive = this.hasAttribute("progressive");
    let busy = null; // the decoding of what has come so far
    const bytes = await readFile(this.currentSrc, signal, (begun) => {
      this.#announce(begun, maxPixels);
      if (!progressive || busy || !this.#state.info) return;
      busy = decode(begun.slice(), { ...options, partial: true }).then((image) => this.#draw(image, signal));
      busy = busy.catch(() => {}).finally(() => (busy = null));
    });
    this.#announce(bytes, maxPixels);
    await busy;
    const onProgress = progressive ? (image) => this.#draw(image, signal) : undefined;
    this.#draw(await decode(bytes, { ...options, onProgress }), signal);
    this.#setFailed(false);
  }

  /** Takes the size from the header, as soon as it is there, so that the page does not move later. */
  #announce(bytes, maxPixels) {
    if (this.#state.info) return;
    try {
      this.#state.info = readInfo(bytes, { maxPixels });
    } catch (error) {
      if (error instanceof CorruptFile && bytes.length < HEADER_BYTES) return;
      throw error;
    }
    this.#layOut();
  }

  #layOut() {
    const [width, height] = SIZES.map((name) => this[name]);
    const { info } = this.#state;
    this.#rule.width = width ? `${width}px` : "";
    this.#rule.height = height ? `${height}px` : "";
    const ratio = info ? [info.width, info.height] : [width, height];
    this.#rule.aspectRatio = ratio[0] && ratio[1] ? ratio.join(" / ") : "";
    if (info && !this.#png && (this.#canvas.width !== info.width || this.#canvas.height !== info.height)) {
      [this.#canvas.width, this.#canvas.height] = [info.width, info.height];
    }
  }

  #draw(image, signal) {
    if (signal.aborted) return;
    this.#png?.remove();
    this.#png = null;
    const { width, height } = this.#state.info;
    [this.#canvas.width, this.#canvas.height] = [width, height];
    const context = this.#canvas.getContext("2d");
    if (image.width === width && image.height === height) {
      context.putImageData(image, 0, 0);
      return;
    }
    const coded = document.createElement("canvas"); // a reduced picture, shown at its own size
    [coded.width, coded.height] = [image.width, image.height];
    coded.getContext("2d").putImageData(image, 0, 0);
    context.imageSmoothingQuality = "high";
    context.drawImage(coded, 0, 0, width, height);
  }

  #fail(error) {
    this.#state.error = error;
    this.#message.textContent = [this.alt, error.message].filter(Boolean).join(": ");
    this.#setFailed(true);
  }

  /** A failed picture gives way to the <img> inside the element, or to a line that says why. */
  #setFailed(failed) {
    this.#canvas.hidden = failed;
    this.#instead.hidden = !failed;
    this.#message.hidden = !failed || this.childElementCount > 0;
  }

  /** As <img>: a picture with its `alt` as its name, or with an empty one no part of the page's content. */
  #describe() {
    const alt = this.getAttribute("alt");
    this.#internals.role = alt === "" ? "none" : "img";
    this.#internals.ariaLabel = alt ?? "";
  }

  /** Lays a PNG of the picture over the canvas, so that the context menu is that of an image. */
  async #offerPng() {
    if (this.#png || !this.#state.complete) return;
    const image = (this.#png = new Image());
    const blob = await this.toBlob();
    const url = URL.createObjectURL(blob);
    image.onload = () => this.#png === image && this.#canvas.after(image);
    image.onerror = () => URL.revokeObjectURL(url); // forbidden by the page's policy: the canvas has a menu, too
    image.alt = this.alt;
    image.part = "picture";
    image.src = url;
  }
}

for (const name of TEXTS) {
  Object.defineProperty(AecImg.prototype, name, {
    get() {
      return this.getAttribute(name) ?? "";
    },
    set(value) {
      this.setAttribute(name, value);
    },
  });
}
for (const name of SIZES) {
  Object.defineProperty(AecImg.prototype, name, {
    get() {
      return Math.max(0, parseInt(this.getAttribute(name), 10) || 0);
    },
    set(value) {
      this.setAttribute(name, value);
    },
  });
}

/** The bytes at a URL; `onBytes` gets those that have come, as they come. */
async function readFile(url, signal, onBytes) {
  if (url.startsWith("data:")) return readDataUrl(url);
  let response;
  try {
    response = await fetch(url, { signal });
  } catch (error) {
    signal.throwIfAborted();
    throw new AecError(`${url}: cannot be fetched (${error.message})`);
  }
  if (!response.ok) throw new AecError(`${url}: HTTP ${response.status}`);
  let bytes = new Uint8Array(0);
  for (const reader = response.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) return bytes;
    const longer = new Uint8Array(bytes.length + value.length);
    longer.set(bytes);
    longer.set(value, bytes.length);
    bytes = longer;
    onBytes(bytes);
  }
}

/** A data: URL without a fetch, which a Content-Security-Policy could forbid. */
function readDataUrl(url) {
  const [, kind, data] = /^data:([^,]*),(.*)$/s.exec(url) ?? [];
  try {
    const text = kind.endsWith(";base64") ? atob(decodeURIComponent(data)) : unescape(data);
    return Uint8Array.from(text, (character) => character.charCodeAt(0));
  } catch {
    throw new CorruptFile("a data: URL that is none");
  }
}

/** Puts an <aec-img> in the place of every <img> whose source ends in .aec. */
export function upgradeImages(root = document) {
  return [...root.querySelectorAll("img")].filter(isAec).map((image) => {
    const element = document.createElement("aec-img");
    for (const { name, value } of image.attributes) if (name !== "style") element.setAttribute(name, value);
    element.style.cssText = image.style.cssText;
    image.replaceWith(element);
    return element;
  });
}

function isAec(image) {
  const source = image.getAttribute("src") ?? "";
  return /\.aec([?#]|$)/i.test(source) || source.startsWith("data:image/x-aec") || source.startsWith("data:image/aec");
}

if (!customElements.get("aec-img")) customElements.define("aec-img", AecImg);
