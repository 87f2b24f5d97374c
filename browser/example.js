// The page's own script: shows the files that a visitor chooses.

import "./aec-img.js";

const pictures = document.getElementById("pictures");

document.querySelector("input").addEventListener("change", async ({ target }) => {
  pictures.replaceChildren();
  for (const file of target.files) {
    const element = document.createElement("aec-img");
    element.alt = file.name;
    element.src = `data:image/x-aec;base64,${toBase64(new Uint8Array(await file.arrayBuffer()))}`;
    pictures.append(element, ` ${file.name}: ${file.size.toLocaleString("en")} bytes `);
  }
});

function toBase64(bytes) {
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}
