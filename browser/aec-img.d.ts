import type { Info } from "./aec.js";

/** `<aec-img>`, which acts like `<img>`. README.md describes its attributes. */
export class AecImg extends HTMLElement {
  src: string;
  alt: string;
  loading: string;
  /** The URL of a folder with weights; empty for the default. */
  weights: string;
  width: number;
  height: number;
  readonly complete: boolean;
  readonly naturalWidth: number;
  readonly naturalHeight: number;
  readonly currentSrc: string;
  /** What the header says; null before it is there. */
  readonly info: Info | null;
  /** Kept once the picture is shown. */
  decode(): Promise<void>;
  /** Loads and shows the picture now, even a lazy one. */
  fetchPicture(): Promise<void>;
  /** A PNG of the picture. */
  toBlob(): Promise<Blob | null>;
}

/** Puts an `<aec-img>` in the place of every `<img>` whose source ends in .aec; returns them. */
export function upgradeImages(root?: ParentNode): AecImg[];

declare global {
  interface HTMLElementTagNameMap {
    "aec-img": AecImg;
  }
}
