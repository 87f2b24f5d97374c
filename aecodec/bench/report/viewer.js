"use strict";

// Two versions of a picture over each other, and a divider between them. Fit scales the picture to its frame; the other
// zooms show each pixel as a square of 1, 2 or 4 pixels, and the frame scrolls.
class Viewer {
  static ZOOMS = [["Fit", 0], ["1\u00d7", 1], ["2\u00d7", 2], ["4\u00d7", 4]];
  static MAX_HEIGHT = 0.74; // of the window

  // `decoder`: for versions that are .aec files, if there are any.
  constructor(root, pictures, decoder) {
    this.pictures = pictures;
    this.decoder = decoder;
    this.index = 0;
    this.split = 0.5;
    this.zoom = 0;
    this.chosen = { left: null, right: null }; // labels, kept from picture to picture
    this.build(root);
    this.show(0);
    new ResizeObserver(() => this.layout()).observe(this.stageBox);
  }

  build(root) {
    this.single = this.pictures.every((picture) => picture.sides.length < 2);
    this.which = element("select", { className: "which", "aria-label": "Picture" },
      ...this.pictures.map((picture, i) => element("option", { value: i }, picture.name)));
    this.which.onchange = () => this.show(Number(this.which.value));
    this.previous = element("button", { type: "button", onclick: () => this.show(this.index - 1), "aria-label": "Previous picture" }, "\u2190");
    this.next = element("button", { type: "button", onclick: () => this.show(this.index + 1), "aria-label": "Next picture" }, "\u2192");
    this.count = element("span", { className: "count", "aria-live": "polite" });
    const bar = element("div", { className: "bar" }, this.previous, this.which, this.next, this.count);

    this.layers = { left: element("div", { className: "layer" }), right: element("div", { className: "layer" }) };
    this.canvas = element("div", { className: "canvas" }, this.layers.right, this.layers.left);
    this.stage = element("div", { className: "stage", tabIndex: 0, role: "group", "aria-label": "Picture; arrow keys scroll it when zoomed" }, this.canvas);
    this.divider = element("div", { className: "divider", tabIndex: 0, role: "slider", "aria-label": "Divider",
      "aria-valuemin": 0, "aria-valuemax": 100, "aria-orientation": "horizontal" });
    this.tags = { left: element("span", { className: "tag left" }), right: element("span", { className: "tag right" }) };
    this.frame = element("div", { className: "stage-frame" }, this.stage, this.tags.left, this.tags.right, this.divider);
    this.stageBox = element("div", { className: "stage-box" }, this.frame, this.controls(), this.hint());

    this.selects = {}; this.lists = {}; this.boxes = {};
    for (const side of ["left", "right"]) {
      this.selects[side] = element("select", { "aria-label": `Version on the ${side}` });
      this.selects[side].onchange = () => { this.chosen[side] = this.selects[side].selectedOptions[0].textContent; this.draw(); };
      this.lists[side] = element("div", {});
      this.boxes[side] = element("div", { className: "figures", "data-side": side }, this.selects[side], this.lists[side]);
    }
    const top = element("div", { className: this.single ? "table-top single" : "table-top" },
      this.single ? null : this.boxes.left, this.stageBox, this.boxes.right);
    root.append(bar, top);
    if (this.pictures.length < 2) bar.hidden = true;
    this.divider.hidden = this.tags.left.hidden = this.single;
    this.listen();
  }

  controls() {
    this.zooms = Viewer.ZOOMS.map(([name, zoom]) =>
      element("button", { type: "button", onclick: () => this.setZoom(zoom) }, name));
    this.hold = element("button", { type: "button", className: "hold" }, "Hold for the original");
    this.hold.addEventListener("pointerdown", () => this.peek(true));
    for (const end of ["pointerup", "pointerleave", "pointercancel", "blur"]) this.hold.addEventListener(end, () => this.peek(false));
    this.hold.addEventListener("keydown", (event) => { if (event.key === " " || event.key === "Enter") this.peek(true); });
    this.hold.addEventListener("keyup", () => this.peek(false));
    this.hold.addEventListener("contextmenu", (event) => event.preventDefault());
    return element("div", { className: "controls" }, element("div", { className: "zoom", role: "group", "aria-label": "Zoom" }, ...this.zooms), this.hold);
  }

  hint() {
    const keys = [
      ...(this.single ? [] : [["\u2190 \u2192", "divider"]]),
      ...(this.pictures.length > 1 ? [["N P", "next, previous"]] : []),
      ["0 1 2 4", "zoom"],
      ...(this.pictures.some((picture) => Viewer.original(picture)) ? [["O", "original"]] : []),
    ];
    const parts = keys.flatMap(([key, what], i) => [i ? "\u2003" : "", element("kbd", {}, key), ` ${what}`]);
    return element("p", { className: "hint" }, ...parts);
  }

  listen() {
    this.stage.addEventListener("scroll", () => this.cut());
    this.divider.addEventListener("keydown", (event) => this.dividerKey(event));
    this.drag(this.divider, () => true);
    this.drag(this.stage, () => this.zoom === 0);
    document.addEventListener("keydown", (event) => this.key(event));
    document.addEventListener("keyup", (event) => { if (event.key.toLowerCase() === "o") this.peek(false); });
  }

  // Dragging moves the divider, or a picture that is larger than its frame. A finger needs no help to scroll.
  drag(handle, movesDivider) {
    let last = null;
    handle.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || (!movesDivider() && event.pointerType !== "mouse")) return;
      last = event;
      handle.setPointerCapture(event.pointerId);
      if (handle === this.divider) handle.focus({ preventScroll: true });
      if (event.pointerType === "mouse") event.preventDefault();
      if (movesDivider() && handle === this.stage && !this.single) this.follow(event);
    });
    handle.addEventListener("pointermove", (event) => {
      if (last === null) return;
      if (movesDivider()) this.follow(event);
      else this.stage.scrollBy(last.clientX - event.clientX, last.clientY - event.clientY);
      last = event;
    });
    for (const end of ["pointerup", "pointercancel"]) handle.addEventListener(end, () => { last = null; });
  }

  follow(event) {
    const box = this.frame.getBoundingClientRect();
    this.setSplit((event.clientX - box.left) / box.width);
  }

  dividerKey(event) {
    const step = event.shiftKey ? 0.1 : 0.02;
    const to = { ArrowLeft: this.split - step, ArrowDown: this.split - step, ArrowRight: this.split + step,
      ArrowUp: this.split + step, PageDown: this.split - 0.1, PageUp: this.split + 0.1, Home: 0, End: 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.setSplit(to);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("select, input, textarea")) return;
    const key = event.key.toLowerCase();
    if (key === "n") this.show(this.index + 1);
    else if (key === "p") this.show(this.index - 1);
    else if (key === "o") this.peek(true);
    else if ("0124".includes(key) && key.length === 1) this.setZoom(Number(key));
  }

  show(index) {
    if (index < 0 || index >= this.pictures.length) return;
    this.index = index;
    const picture = this.pictures[index];
    this.which.value = index;
    this.previous.disabled = index === 0;
    this.next.disabled = index === this.pictures.length - 1;
    const reason = { best: "among the best", worst: "among the worst", drawn: "drawn by lot" }[picture.reason];
    const cut = picture.window.width < picture.width || picture.window.height < picture.height
      ? `, the middle ${picture.window.width} \u00d7 ${picture.window.height} of ${picture.width} \u00d7 ${picture.height} pixels` : "";
    this.count.textContent = `${index + 1} of ${this.pictures.length}${reason ? ", " + reason : ""}${cut}`;
    for (const side of ["left", "right"]) {
      this.selects[side].replaceChildren(...picture.sides.map((each, i) => element("option", { value: i }, each.label)));
      const kept = picture.sides.findIndex((each) => each.label === this.chosen[side]);
      this.selects[side].value = kept >= 0 ? kept : picture[side];
    }
    this.hold.hidden = !Viewer.original(picture) || picture.sides.length < 2;
    this.stage.scrollTo(0, 0);
    this.draw();
  }

  side(side) { return this.pictures[this.index].sides[Number(this.selects[side].value)]; }

  draw() {
    const picture = this.pictures[this.index];
    for (const side of ["left", "right"]) {
      const version = this.side(side);
      this.image(side, version);
      this.tags[side].textContent = version.label;
      this.boxes[side].classList.toggle("own", version.codec === "aecodec");
      this.lists[side].replaceChildren(...Viewer.figures(version.figures));
    }
    this.stage.setAttribute("aria-description", `${picture.name}: ${this.side("left").label} and ${this.side("right").label}`);
    this.layout();
  }

  image(side, version) {
    const { window: part, name } = this.pictures[this.index];
    const alt = `${name}, ${version.label}`;
    const image = version.aec ? this.decoder.show(version, part, alt) : element("img", { src: version.src, alt, draggable: false });
    image.style.width = `${100 * version.image_width / part.width}%`;
    image.style.height = `${100 * version.image_height / part.height}%`;
    image.style.left = `${-100 * version.left / part.width}%`;
    image.style.top = `${-100 * version.top / part.height}%`;
    this.layers[side].replaceChildren(image);
  }

  static figures(figures) {
    const list = element("dl", {});
    for (const [field, value] of Object.entries(figures)) {
      if (field === "note" || (value === null && field !== "psnr")) continue;
      const format = FORMATS[field];
      const text = format ? written(field, value) + (format.unit && value !== null ? ` ${format.unit}` : "") : Viewer.plain(value);
      list.append(element("dt", {}, format ? format.name : field), element("dd", { "data-field": field }, text));
    }
    return [list, figures.note ? element("p", { className: "note" }, figures.note) : ""];
  }

  static original(picture) { return picture.sides.find((each) => each.codec === ""); }

  static plain(value) { return typeof value === "number" ? value.toLocaleString("en-US") : String(value); }

  // While held: the original over everything.
  peek(on) {
    const original = Viewer.original(this.pictures[this.index]);
    if (!original || this.peeking === on) return;
    this.peeking = on;
    this.hold.setAttribute("aria-pressed", on);
    for (const side of ["left", "right"]) {
      const version = on ? original : this.side(side);
      this.image(side, version);
      this.tags[side].textContent = version.label;
    }
  }

  setZoom(zoom) { this.zoom = zoom; this.layout(); }

  setSplit(split) { this.split = Math.min(Math.max(split, 0), 1); this.cut(); }

  layout() {
    const { window: part } = this.pictures[this.index];
    const room = this.stageBox.clientWidth, height = window.innerHeight * Viewer.MAX_HEIGHT;
    const scale = this.zoom || Math.min(room / part.width, height / part.height, 4);
    const fits = this.zoom === 0;
    // Rounded up for a zoomed frame, so that no scroll bar takes part of a picture that fits.
    this.frame.style.width = `${Math.floor(Math.min(room, part.width * scale))}px`;
    this.frame.style.height = `${Math.floor(Math.min(height, part.height * scale))}px`;
    this.canvas.style.width = `${Math.floor(part.width * scale)}px`;
    this.canvas.style.height = `${Math.floor(part.height * scale)}px`;
    this.stage.classList.toggle("fit", fits);
    this.canvas.classList.toggle("pixelated", this.zoom >= 1);
    this.zooms.forEach((button, i) => button.setAttribute("aria-pressed", Viewer.ZOOMS[i][1] === this.zoom));
    this.cut();
  }

  // The left layer ends at the divider, which stands still in the frame while the picture scrolls under it.
  cut() {
    if (this.single) { this.layers.left.hidden = true; return; }
    const at = this.split * this.frame.clientWidth;
    this.divider.style.left = `${at}px`;
    const percent = Math.round(100 * this.split);
    this.divider.setAttribute("aria-valuenow", percent);
    this.divider.setAttribute("aria-valuetext", `${percent} % ${this.side("left").label}`);
    this.layers.left.style.clipPath = `inset(0 calc(100% - ${this.stage.scrollLeft + at}px) 0 0)`;
  }
}
