"use strict";

// An element with properties and children; text is always text, never markup.
function element(tag, properties, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) {
    if (value === undefined || value === null) continue;
    if (name in made && !name.startsWith("aria")) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// How each figure is written, everywhere in the page.
const FORMATS = {
  size_bytes: { name: "bytes", write: (v) => v.toLocaleString("en-US", { maximumFractionDigits: 0 }) },
  bits_per_pixel: { name: "bits per pixel", write: (v) => v.toFixed(3) },
  quality: { name: "quality", write: (v) => String(Math.round(v * 10) / 10) },
  psnr: { name: "PSNR", unit: "dB", write: (v) => v.toFixed(2), missing: "\u221e" },
  ms_ssim: { name: "MS-SSIM", write: (v) => v.toFixed(4) },
  l1: { name: "L1", write: (v) => v.toFixed(4) },
  ssimulacra2: { name: "SSIMULACRA2", write: (v) => v.toFixed(1) },
  encode_seconds: { name: "encode", unit: "ms", write: (v) => (1000 * v).toFixed(1) },
  decode_seconds: { name: "decode", unit: "ms", write: (v) => (1000 * v).toFixed(1) },
};
const MINUS = "\u2212";

function written(field, value) {
  const format = FORMATS[field];
  if (value === null || value === undefined) return format.missing || "\u2013";
  return format.write(value).replace("-", MINUS);
}

// With its sign, a true minus.
function signed(value, digits) {
  const text = Math.abs(value).toFixed(digits);
  return Number(text) === 0 ? text : (value < 0 ? MINUS : "+") + text;
}
