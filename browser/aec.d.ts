/** Decodes .aec files to the very pixels that Python's aecodec gives. README.md is the manual. */

/** Where weights come from: the URL of a folder with files ID.safetensors, or the bytes of such a file. */
export type Weights = string | URL | ArrayBuffer | ArrayBufferView;

/** What a file says of itself. Width and height are those it is shown at; it is coded at others if it was shrunk. */
export interface Info {
  version: number;
  width: number;
  height: number;
  codedWidth: number;
  codedHeight: number;
  mode: Mode;
  extras: ("alpha" | "icc" | "exif" | "xmp")[];
  /** 0 to 255; `quality` in Python is this times 100 / 255. */
  qualityIndex: number;
  /** Null if the file names a model that this version does not know. */
  model: string | null;
  /** Eight hex digits. */
  weightsId: string | null;
  /** Coded tiles of 1024x1024 pixels. */
  tiles: number;
  compact: boolean;
  cut: boolean;
  sizeBytes: number;
}

export type Mode = "L" | "LA" | "RGB" | "RGBA";

/** RGBA pixels in sRGB, alpha not premultiplied. Where there is no ImageData, an object with its fields. */
export interface Picture extends ImageData {
  /** Which of the four channels the file has: grey is repeated, missing alpha is 255. */
  readonly mode: Mode;
  /** Of the picture's symbols, those that are known: below 1 only for stages and partial files. */
  readonly share: number;
  /** Whether the file does not end early. */
  readonly complete: boolean;
}

export interface DecodeOptions {
  /** Tried in turn, bytes first. Default: the folder `weights` beside aec.js. */
  weights?: Weights | Weights[];
  /** Larger pictures are refused before memory is taken. Default: MAX_PIXELS, as in Python. */
  maxPixels?: number;
  /** Only this region, exactly as it is in the whole picture; in pixels of the coded size. */
  crop?: { x: number; y: number; width: number; height: number };
  /** Also takes a file that ends anywhere after its header. */
  partial?: boolean;
  /** Ends the decoding; the promise is rejected with the signal's reason. */
  signal?: AbortSignal;
  /** Gets a picture after the hyper-latent (stage 1) and after each context step but the last (2 to 4). */
  onProgress?: (picture: Picture, stage: number) => void;
}

/** As Python's default. */
export const MAX_PIXELS: number;

/** The pixels at the size that the picture is coded at. Rejects with one of the errors below. */
export function decode(bytes: ArrayBuffer | ArrayBufferView, options?: DecodeOptions): Promise<Picture>;

/** Reads the header, for which 36 bytes suffice. Throws CorruptFile, HeaderLimitExceeded or UnsupportedVersion. */
export function readInfo(bytes: ArrayBuffer | ArrayBufferView, options?: { maxPixels?: number }): Info;

/** Sets defaults; `wasm` and `workers` before the first picture. With 0 workers, the calling thread decodes. */
export function configure(options: {
  weights?: Weights | Weights[];
  wasm?: string | ArrayBuffer | ArrayBufferView;
  workers?: number;
}): void;

/** The base of all errors below. `name` is the name of the class. */
export class AecError extends Error {}
/** The bytes are damaged, cut short, or not an .aec file. */
export class CorruptFile extends AecError {}
/** The picture is larger than the limit. */
export class HeaderLimitExceeded extends CorruptFile {}
export class LimitExceeded extends AecError {}
/** The crop leaves the picture. */
export class OutsidePicture extends AecError {}
/** A later version of the format, or version 0. */
export class UnsupportedVersion extends AecError {}
/** The weights were not found, or are damaged. */
export class UnknownWeights extends AecError {}
/** The browser lacks WebAssembly SIMD or module workers. */
export class UnsupportedBrowser extends AecError {}
