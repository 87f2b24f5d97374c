// The demo: photographs at equal bytes, a quality for all of them, and the picture that the first bytes of a file give.

import "./aecodec/aec-img.js";
import { decode } from "./aecodec/aec.js";

const FORMATS = { aec: ".aec", avif: "AVIF", jpeg: "JPEG" };
const ENDINGS = { aec: "aec", avif: "avif", jpeg: "jpg" };
const find = (id) => document.getElementById(id);
const count = (bytes) => `${bytes.toLocaleString("en")} bytes`;
const gallery = await (await fetch("gallery.json")).json();
const fileOf = ({ name }, index, format) => `pictures/${name}-${gallery.qualities[index]}.${ENDINGS[format]}`;
const rows = gallery.photos.map(makeRow);

function makeRow(photo) {
  const row = document.createElement("div");
  row.className = "row";
  const figures = Object.entries(FORMATS).map(([format, name]) => {
    const figure = document.createElement("figure");
    const picture = document.createElement(format === "aec" ? "aec-img" : "img");
    picture.alt = `${photo.name}, ${name}`;
    [picture.width, picture.height] = [256, 256];
    picture.loading = "lazy";
    figure.append(picture, document.createElement("figcaption"));
    row.append(figure);
    return { format, name, figure, picture, caption: figure.lastChild };
  });
  find("gallery").append(row);
  return { photo, figures };
}

function showQuality(index) {
  let total = 0;
  for (const { photo, figures } of rows) {
    for (const { format, name, figure, picture, caption } of figures) {
      const bytes = photo.bytes[format][index];
      figure.classList.toggle("missing", !bytes);
      caption.textContent = bytes ? `${name}, ${count(bytes)}` : `${name} has no file as small`;
      if (bytes) picture.src = fileOf(photo, index, format);
      else picture.removeAttribute("src");
    }
    total += photo.bytes.aec[index];
  }
  find("mean").textContent = `${(total / rows.length / 1000).toFixed(1)}\u00a0kB`;
  find("shown").textContent = `-q ${gallery.qualities[index]}`;
}

// The prefix of a file: one decoding at a time, and then the latest that was asked for.
let whole = new Uint8Array();
let asked = false;
let busy = false;

async function choose() {
  const file = fileOf(gallery.photos[find("which").value], gallery.default, "aec");
  whole = new Uint8Array(await (await fetch(file)).arrayBuffer());
  [find("bytes").max, find("bytes").value] = [whole.length, Math.round(whole.length / 8)];
  showPrefix();
}

async function showPrefix() {
  asked = true;
  if (busy) return;
  busy = true;
  while (asked) {
    asked = false;
    const length = Math.max(find("bytes").valueAsNumber, 20); // the header
    const picture = await decode(whole.subarray(0, length), { partial: true });
    find("prefix").getContext("2d").putImageData(picture, 0, 0);
    find("count").textContent = `${length.toLocaleString("en")} of ${count(whole.length)}`;
  }
  busy = false;
}

/** What this visit has loaded, as it came over the wire. */
function showTraffic() {
  const kinds = { "code and weights": 0, "photographs": 0 };
  for (const { name, transferSize, encodedBodySize } of performance.getEntriesByType("resource")) {
    const kind = name.includes("/pictures/") ? "photographs" : "code and weights";
    kinds[kind] += transferSize ? encodedBodySize : 0;
  }
  const parts = Object.entries(kinds).map(([kind, bytes]) => `${kind} ${Math.round(bytes / 1000)} kB`);
  find("traffic").textContent = `Loaded by this visit: ${parts.join(", ")}. Model: ${gallery.model}, ${gallery.id}.`;
}

function showCredits() {
  find("credits").append("Photographs, reduced and cropped: ");
  gallery.photos.forEach(({ name, author, licence, licenceLink, link, seen }, index) => {
    const [work, terms] = [document.createElement("a"), document.createElement("a")];
    [work.href, work.textContent] = [link, author];
    [terms.href, terms.textContent] = [licenceLink, licence];
    find("credits").append(`${index ? "; " : ""}${name}: `, work, ", ", terms, seen && ` (${seen})`);
  });
  find("credits").append(". Weights were trained on what is marked as training set, and chosen by the validation part.");
}

find("quality").max = gallery.qualities.length - 1;
find("quality").value = gallery.default;
find("quality").addEventListener("input", ({ target }) => showQuality(target.valueAsNumber));
gallery.photos.forEach(({ name }, index) => find("which").append(new Option(name, index)));
find("which").addEventListener("change", choose);
find("bytes").addEventListener("input", showPrefix);
showQuality(gallery.default);
showCredits();
await choose();
setInterval(showTraffic, 1000);
showTraffic();
