"use strict";

const QUALITY_FIELDS = ["psnr", "ms_ssim", "l1", "ssimulacra2"];

const $id = (id) => document.getElementById(id);
const DATA = JSON.parse($id("data").textContent);
const fullName = (codec) => (DATA.names || {})[codec] || codec;
const count = (n, noun) => `${n.toLocaleString("en-US")} ${noun}${n === 1 ? "" : "s"}`;

function theme() {
  // A page opened from a file may have no storage: the choice then lasts as long as the page.
  const stored = { get: () => { try { return localStorage.getItem("aecodec-theme"); } catch { return null; } },
    set: (value) => { try { localStorage.setItem("aecodec-theme", value); } catch { /* not kept */ } } };
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const inputs = [...$id("theme").querySelectorAll("input")];
  const choose = () => {
    const { value } = inputs.find((input) => input.checked);
    document.documentElement.dataset.theme = value === "auto" ? (dark.matches ? "dark" : "light") : value;
  };
  for (const input of inputs) {
    input.checked = input.value === (stored.get() || "auto");
    input.onchange = () => { choose(); stored.set(input.value); };
  }
  dark.addEventListener("change", choose);
  choose();
}

function lead(result) {
  const rates = result.bd_rates.filter((rate) => rate.metric === "psnr" && rate.percent !== null);
  if (!rates.length) return;
  const parts = rates.flatMap((rate, i) => {
    const separator = i === 0 ? "" : i === rates.length - 1 ? " and " : ", ";
    const much = Math.round(Math.abs(rate.percent));
    return [separator, element("strong", {}, `${much} % ${rate.percent < 0 ? "fewer" : "more"}`), ` bits than ${fullName(rate.peer)}`];
  });
  $id("lead").append("At equal PSNR aecodec takes ", ...parts, ` on ${result.pictures === 1 ? "this picture" : "these pictures"}.`);
}

function rowsTable(result) {
  const fields = ["quality", "size_bytes", "bits_per_pixel", ...present(QUALITY_FIELDS, result.rows), "encode_seconds", "decode_seconds"];
  const codec = { head: "codec", text: true, value: (row) => fullName(row.codec), write: (v) => v };
  $id("rows").append(table([codec, ...fields.map((field) => metricColumn(field))], result.rows,
    { sortable: true, tall: true, own: (row) => row.codec === result.codecs[0].name }));
}

function ratesTable(result) {
  const metrics = QUALITY_FIELDS.filter((metric) => result.bd_rates.some((rate) => rate.metric === metric));
  const peers = [...new Set(result.bd_rates.map((rate) => rate.peer))];
  const find = (peer, metric) => result.bd_rates.find((rate) => rate.peer === peer && rate.metric === metric);
  const columns = metrics.map((metric) => ({
    head: FORMATS[metric].name,
    unit: metric === "ms_ssim" ? "in dB" : undefined,
    value: (peer) => { const rate = find(peer, metric); return rate ? rate.percent : null; },
    write: (percent, peer) => {
      if (percent === null) return "\u2013";
      const share = element("span", {}); share.style.width = `${100 * find(peer, metric).overlap}%`;
      const reach = element("span", { className: "reach", title: `covers ${Math.round(100 * find(peer, metric).overlap)} % of the range` }, share);
      return element("span", {}, `${signed(percent, 1)} %`, reach);
    },
    className: (peer) => { const rate = find(peer, metric); return rate && rate.percent < 0 ? "better" : ""; },
  }));
  $id("rates-table").append(table([{ head: "against", text: true, value: fullName, write: (v) => v }, ...columns], peers));
}

function speedTable(result) {
  const rate = (v) => (v >= 100 ? v.toFixed(0) : v >= 10 ? v.toFixed(1) : v.toFixed(2));
  $id("speed-table").append(table([
    { head: "codec", text: true, value: (row) => row.codec, write: (v) => fullName(v) },
    { head: "encode", unit: "Mpixel/s", value: (row) => row.encode_megapixels, write: rate },
    { head: "decode", unit: "Mpixel/s", value: (row) => row.decode_megapixels, write: rate },
  ], result.speeds, { own: (row) => row.codec === result.codecs[0].name }));
}

function picturesTable(result, viewer, shown) {
  const peersOf = new Map(result.measurements.map((own) => [own.picture, new Map()]));
  for (const peer of result.equal_bytes) peersOf.get(peer.picture).set(peer.codec, peer);
  const embedded = new Map(shown.map((picture, i) => [picture.name, i]));
  const see = (name) => {
    if (!embedded.has(name)) return name;
    const open = () => { viewer.show(embedded.get(name)); $id("look").scrollIntoView(); };
    return element("button", { type: "button", className: "see", onclick: open }, name);
  };
  const gain = (own, codec) => {
    const peer = peersOf.get(own.picture).get(codec);
    return !peer || peer.psnr === null || own.psnr === null || peer.size_bytes > own.size_bytes ? null : own.psnr - peer.psnr;
  };
  const gains = result.codecs.slice(1).map(({ name }) => ({
    head: `over ${fullName(name)}`, unit: "dB", value: (own) => gain(own, name),
    write: (v) => (v === null ? "\u2013" : signed(v, 2)), className: (own) => (gain(own, name) > 0 ? "better" : ""),
  }));
  const columns = [
    { head: "picture", text: true, value: (own) => own.picture, write: see },
    { head: "pixels", value: (own) => own.width * own.height, write: (_, own) => `${own.width} \u00d7 ${own.height}` },
    ...["size_bytes", "bits_per_pixel", ...present(QUALITY_FIELDS, result.measurements)].map((field) => metricColumn(field)),
    ...gains,
  ];
  const quality = written("quality", result.shown_quality);
  $id("pictures-about").textContent = `aecodec at quality ${quality}, and its PSNR over each peer at equal bytes: the peer's largest quality whose file is no larger. ` +
    "A dash: even the peer's smallest file is larger. Press a heading to sort; an underlined picture can be seen above.";
  $id("pictures-table").append(table(columns, result.measurements, { sortable: true, tall: true }));
}

function how(data) {
  const { result } = data;
  const where = result.environment;
  const cut = result.size === null ? "" : `, reduced to centre squares of ${result.size} \u00d7 ${result.size}`;
  const qualities = result.rows.filter((row) => row.codec === result.codecs[0].name).map((row) => written("quality", row.quality));
  const entries = [
    ["Pictures", `${count(result.pictures, "picture")} of ${result.folder}${cut}`],
    ["Qualities", `aecodec at ${qualities.join(", ")}; shown at ${written("quality", result.shown_quality)}`],
    ...result.codecs.map((codec) => [fullName(codec.name), codec.description]),
    ["Figures", "from whole files, encoded and decoded. PSNR over RGB; L1 on 0 to 1; each picture counts the same; times are medians"],
    ["Machine", `${where.processor}, ${count(where.cores, "core")}, ${where.system}`],
    ["Versions", `aecodec ${where.aecodec}, Python ${where.python}, NumPy ${where.numpy}`],
    ["Written", data.date],
    ...(result.rows.some((row) => row.ssimulacra2 !== null) ? [] : [["Left out", "SSIMULACRA2: not measured (aecodec bench --ssimulacra2)"]]),
    ...result.notices.map((notice) => ["Note", notice]),
  ];
  $id("how-list").append(...entries.flatMap(([name, text]) => [element("dt", {}, name), element("dd", {}, text)]));
}

// The figures of the mark nearest to the pointer, and its codec's curve before the others.
function charts(result) {
  const tip = $id("tip");
  for (const chart of document.querySelectorAll(".chart")) {
    const points = [...chart.querySelectorAll('[id^="point-"]')].map((mark) => ({ mark, row: result.rows[Number(mark.id.split("-").pop())] }));
    const metric = chart.dataset.metric;
    const leave = () => { tip.hidden = true; chart.classList.remove("muted"); };
    chart.addEventListener("pointerleave", leave);
    chart.addEventListener("pointermove", (event) => {
      const near = nearest(points, event.clientX, event.clientY);
      if (near.distance > 40) { leave(); return; }
      const { row } = near.point;
      chart.classList.add("muted");
      for (const part of chart.querySelectorAll("[id]")) part.classList.toggle("lit", belongs(part.id, row, result.rows));
      tip.textContent = `${fullName(row.codec)}, quality ${written("quality", row.quality)}\n${written("size_bytes", row.size_bytes)} bytes, ` +
        `${written("bits_per_pixel", row.bits_per_pixel)} bits per pixel\n${FORMATS[metric].name} ${written(metric, row[metric])}`;
      tip.hidden = false;
      const left = Math.min(near.x + 14, document.documentElement.clientWidth - tip.offsetWidth - 8);
      tip.style.left = `${Math.max(left, 8) + scrollX}px`;
      tip.style.top = `${near.y + scrollY - tip.offsetHeight - 12}px`;
    });
  }
}

function nearest(points, x, y) {
  let best = { distance: Infinity };
  for (const point of points) {
    const box = point.mark.getBoundingClientRect();
    const at = { x: box.left + box.width / 2, y: box.top + box.height / 2 };
    const distance = Math.hypot(at.x - x, at.y - y);
    if (distance < best.distance) best = { ...at, distance, point };
  }
  return best;
}

function belongs(id, row, rows) {
  const point = /^point-.*-(\d+)$/.exec(id);
  return point ? rows[Number(point[1])].codec === row.codec : id.endsWith(`-${row.codec}`);
}

function sections(kept) {
  for (const section of document.querySelectorAll("section")) {
    if (!kept.includes(section.id)) { section.remove(); continue; }
    if (kept.length > 1) $id("contents").append(element("a", { href: `#${section.id}` }, section.dataset.name));
  }
  if (kept.length < 2) document.querySelectorAll("#contents, #lead, .about, h2").forEach((part) => part.remove());
}

function main() {
  const data = DATA;
  theme();
  sections(data.result ? ["look", "curves", "rates", "speed", "pictures", "how"] : ["look"]);
  const viewer = new Viewer($id("viewer"), data.viewer, data.decoder && new PageDecoder(data.decoder));
  if (!data.result) {
    $id("title").textContent = data.viewer.length === 1 ? data.viewer[0].name : count(data.viewer.length, "picture");
    return;
  }
  const { result } = data;
  $id("title").textContent = `aecodec on ${count(result.pictures, "picture")} of ${result.folder.split(/[\\/]/).filter(Boolean).pop() || result.folder}`;
  const few = data.viewer.length < result.pictures ? `${data.viewer.length} of ${result.pictures} pictures: the best and the worst by PSNR over the best peer, and some drawn by lot.` : "Every picture, the largest gain over the best peer first.";
  $id("look-about").textContent = `${few} Peers at their largest quality whose file has at most aecodec's bytes.`;
  lead(result);
  rowsTable(result);
  ratesTable(result);
  speedTable(result);
  picturesTable(result, viewer, data.viewer);
  how(data);
  charts(result);
}

main();
