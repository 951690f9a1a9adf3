"use strict";
/* What the parts of the run report share: packed arrays, elements, thumbnails, a tip, a dialog. */
const report = pageData("report");

/* The typed array of what packed() of packed.py made; null stays null. */
function unpacked(held) {
  if (!held) return null;
  const text = atob(held.bytes);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  const kinds = { Uint8: Uint8Array, Uint16: Uint16Array, Uint32: Uint32Array, Int32: Int32Array, Float32: Float32Array };
  return new kinds[held.kind](bytes.buffer);
}

function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const byId = (id) => document.getElementById(id);
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const whole = (value) => Math.round(value).toLocaleString("en");
const percent = (value) => (100 * value).toFixed(value < 0.0995 ? 1 : 0) + " %";

function number(value) {
  if (value === null || !Number.isFinite(value)) return "-";
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return whole(value);
  const size = Math.abs(value);
  return size !== 0 && (size < 1e-3 || size >= 1e6) ? value.toExponential(2) : String(+value.toPrecision(4));
}

/* A colour per group that stays apart from its neighbours, in both schemes. */
function groupColor(index) {
  const dark = color("--ground") !== "#ffffff";
  const hue = (index * 137.508) % 360;
  const light = (dark ? 62 : 44) + 9 * ((index % 3) - 1);
  return `hsl(${hue.toFixed(1)} 68% ${light}%)`;
}

/* Once per frame, whatever the number of events. */
function perFrame(action) {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; action(); });
  };
}

/* A canvas as sharp as the screen: its context, in CSS pixels. */
function sharpContext(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return context;
}

const samples = {
  count: report.num_samples,
  clusters: unpacked(report.clusters),
  distances: unpacked(report.distances),
  classes: unpacked(report.classes),
  classNames: report.class_names,
  namesHeld: null,
  namesSearched: null,
  /* Of a large run the names of the images that are shown: these, and the place of each. */
  named: unpacked(report.named),
  places: null,
  names() {
    if (!this.namesHeld) this.namesHeld = report.names ? report.names.split("\n") : [];
    return this.namesHeld;
  },
  /* Calls with each name in small letters, and its image. */
  searched(action) {
    if (!this.namesSearched) this.namesSearched = this.names().map((name) => (report.name_start + name).toLowerCase());
    this.namesSearched.forEach((name, place) => action(name, this.named ? this.named[place] : place));
  },
  knownName(i) {
    if (this.named && !this.places) this.places = new Map(Array.from(this.named, (sample, place) => [sample, place]));
    const name = this.names()[this.named ? this.places.get(i) : i];
    return name === undefined ? null : report.name_start + name;
  },
  name(i) { return this.knownName(i) ?? `image ${i}`; },
  link(i) {
    // a name that is no Unicode has no address
    const name = this.knownName(i);
    if (report.link_base === null || name === null || /\p{Surrogate}/u.test(name)) return null;
    return report.link_base + name.split("/").map(encodeURIComponent).join("/");
  },
  className(i) { return this.classes ? this.classNames[this.classes[i]] : null; },
  describe(i) {
    const parts = [this.name(i)];
    if (this.classes) parts.push("class " + this.className(i));
    if (this.clusters) parts.push("cluster " + this.clusters[i]);
    if (this.distances) parts.push("distance " + number(this.distances[i]));
    return parts.join(" · ");
  },
};

/* Thumbnails on sheets, which are decoded when the first of their images is wanted. */
class Thumbs {
  constructor(held, name) {
    this.name = name;
    this.cell = held ? held.cell : 0;
    this.side = held ? held.side : 1;
    this.places = new Map();
    const ids = held ? unpacked(held.samples) : [];
    ids.forEach((sample, place) => this.places.set(sample, place));
    this.sheets = [];
    this.rules = new Set();
  }
  has(sample) { return this.places.has(sample); }
  sheet(index) {
    if (!this.sheets[index]) {
      const image = new Image();
      const held = { image, ready: false };
      image.src = pageData(this.name + index);
      held.promise = image.decode().then(() => { held.ready = true; }, () => {});
      this.sheets[index] = held;
    }
    return this.sheets[index];
  }
  /* An element with a thumbnail as its background: a hundred canvases would not scroll smoothly. */
  element(sample) {
    const place = this.places.get(sample), perSheet = this.side * this.side;
    const index = Math.floor(place / perSheet), at = place % perSheet;
    const name = this.name + index;
    if (!this.rules.has(index)) {
      this.rules.add(index);
      document.head.append(make("style", {}, `.${name} { background-image: url("${pageData(name)}"); }`));
    }
    const rows = Math.min(this.side, Math.ceil((this.places.size - index * perSheet) / this.side));
    const part = make("i", { class: `picture ${name}${this.cell < 48 ? " coarse" : ""}` });
    part.style.backgroundSize = `${100 * this.side}% ${100 * rows}%`;
    part.style.backgroundPosition = `${(100 * (at % this.side)) / (this.side - 1)}% ${rows > 1 ? (100 * Math.floor(at / this.side)) / (rows - 1) : 0}%`;
    return part;
  }
  /* Draws a thumbnail, now or when its sheet is decoded; false if that is still to come. */
  draw(context, sample, x, y, size, later) {
    const place = this.places.get(sample);
    const perSheet = this.side * this.side;
    const sheet = this.sheet(Math.floor(place / perSheet));
    if (!sheet.ready) { if (later) sheet.promise.then(later); return false; }
    const at = place % perSheet;
    const left = (at % this.side) * this.cell, top = Math.floor(at / this.side) * this.cell;
    context.drawImage(sheet.image, left, top, this.cell, this.cell, x, y, size, size);
    return true;
  }
}
const sheetThumbs = new Thumbs(report.thumbs, "sheet-");
const mapThumbs = new Thumbs(report.map_thumbs, "map-sheet-");
const thumbsOf = (sample) => (sheetThumbs.has(sample) ? sheetThumbs : mapThumbs.has(sample) ? mapThumbs : null);

/* A thumbnail, in a link where the image is a file. */
function thumbElement(sample, reachable = true) {
  const thumbs = thumbsOf(sample);
  const picture = thumbs ? thumbs.element(sample) : make("i", { class: "picture" });
  const text = samples.describe(sample);
  const link = samples.link(sample);
  if (link === null) return make("span", { class: "thumb", role: "img", "aria-label": text, title: text }, picture);
  return make("a", { class: "thumb", href: link, target: "_blank", rel: "noopener", title: text, "aria-label": text, tabindex: reachable ? null : "-1" }, picture);
}

/* One tip for all diagrams; it follows the pointer, or stands at the place that keys chose. */
const tip = {
  box: byId("tip"),
  show(x, y, ...children) {
    this.box.replaceChildren(...children);
    this.box.hidden = false;
    const width = this.box.offsetWidth, height = this.box.offsetHeight;
    const left = x + 14 + width > innerWidth - 8 ? x - width - 14 : x + 14;
    this.box.style.left = Math.max(8, Math.min(left, innerWidth - width - 8)) + "px";
    this.box.style.top = Math.max(8, Math.min(y + 12, innerHeight - height - 8)) + "px";
  },
  hide() { this.box.hidden = true; },
};
addEventListener("scroll", () => tip.hide(), { passive: true });

const dialog = {
  box: byId("details"),
  open(title, ...children) {
    tip.hide();
    byId("details-title").textContent = title;
    byId("details-body").replaceChildren(...children);
    if (!this.box.open) this.box.showModal();
    this.box.scrollTop = 0;
  },
  close() { if (this.box.open) this.box.close(); },
};
if (dialog.box) {
  byId("details-close").addEventListener("click", () => dialog.close());
  dialog.box.addEventListener("click", (event) => { if (event.target === dialog.box) dialog.close(); });
}

/* Rows of one height of which those in sight exist. */
class VirtualList {
  constructor(box, render) {
    this.box = box;
    this.render = render;
    this.rows = new Map();
    this.count = 0;
    this.height = 32;
    this.inner = make("div", { class: "rows" });
    box.replaceChildren(this.inner);
    box.addEventListener("scroll", perFrame(() => this.update()), { passive: true });
    box.addEventListener("keydown", (event) => this.key(event));
  }
  reset(count, height) {
    this.count = count;
    this.height = height;
    this.inner.style.height = count * height + "px";
    this.inner.replaceChildren();
    this.rows.clear();
    this.update();
  }
  update(extra = 3) {
    const first = Math.max(0, Math.floor(this.box.scrollTop / this.height) - extra);
    const last = Math.min(this.count, Math.ceil((this.box.scrollTop + this.box.clientHeight) / this.height) + extra);
    for (const [index, row] of this.rows) {
      if ((index < first || index >= last) && !row.contains(document.activeElement)) {
        row.remove();
        this.rows.delete(index);
      }
    }
    const fresh = [];
    for (let index = first; index < last; index++) {
      if (this.rows.has(index)) continue;
      const row = this.render(index);
      row.style.top = index * this.height + "px";
      row.style.height = this.height + "px";
      row.dataset.index = index;
      this.rows.set(index, row);
      fresh.push(row);
    }
    this.inner.append(...fresh);
  }
  key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 5, PageUp: -5 }[event.key];
    const row = event.target.closest && event.target.closest("[data-index]");
    if (!step || !row) return;
    event.preventDefault();
    const next = Math.max(0, Math.min(this.count - 1, +row.dataset.index + step));
    const top = next * this.height;
    if (top < this.box.scrollTop) this.box.scrollTop = top;
    if (top + this.height > this.box.scrollTop + this.box.clientHeight) this.box.scrollTop = top + this.height - this.box.clientHeight;
    this.update();
    const target = this.rows.get(next) && this.rows.get(next).querySelector("button, a");
    if (target) target.focus({ preventScroll: true });
  }
}
