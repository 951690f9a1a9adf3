"use strict";
/* The map of the features: points on a canvas; hover, tap, or walk over them with the keys. */
const featureMap = report.map && {
  held: report.map,
  chosen: -1,
  scale: 1,
  shiftX: 0,
  shiftY: 0,
  pointers: new Map(),
  start() {
    this.canvas = byId("map-canvas");
    this.ids = unpacked(this.held.samples);
    const places = unpacked(this.held.positions);
    this.count = this.ids.length;
    this.xs = new Float32Array(this.count);
    this.ys = new Float32Array(this.count);
    for (let i = 0; i < this.count; i++) { this.xs[i] = places[2 * i] / 65535; this.ys[i] = places[2 * i + 1] / 65535; }
    this.redraw = perFrame(() => this.draw());
    const canvas = this.canvas;
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (event) => this.pointers.delete(event.pointerId));
    canvas.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") this.choose(-1); });
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("blur", () => this.choose(-1));
    canvas.addEventListener("click", () => this.opened());
    byId("map-in").addEventListener("click", () => this.zoom(1.6));
    byId("map-out").addEventListener("click", () => this.zoom(1 / 1.6));
    byId("map-reset").addEventListener("click", () => this.reset());
    byId("map-color").addEventListener("change", () => { byId("map-highlight").value = ""; this.regroup(); });
    byId("map-highlight").addEventListener("input", () => this.regroup());
    byId("map-images").addEventListener("change", this.redraw);
    document.addEventListener("schemechange", () => this.regroup());
    new ResizeObserver(this.redraw).observe(canvas.parentElement);
    this.regroup();
  },
  groupOf(i) { return byId("map-color").value === "class" ? samples.classes[this.ids[i]] : samples.clusters[this.ids[i]]; },
  groupName(group) { return byId("map-color").value === "class" ? samples.classNames[group] : `cluster ${group}`; },
  regroup() {
    const wanted = byId("map-highlight").value.trim().toLowerCase();
    const byClass = byId("map-color").value === "class";
    this.groups = new Map();
    for (let i = 0; i < this.count; i++) {
      const group = this.groupOf(i);
      if (!this.groups.has(group)) {
        const name = byClass ? samples.classNames[group].toLowerCase() : String(group);
        const lit = !wanted || (byClass ? name.includes(wanted) : name === wanted);
        this.groups.set(group, { color: groupColor(group), lit, members: [] });
      }
      this.groups.get(group).members.push(i);
    }
    this.anyLit = [...this.groups.values()].some((group) => group.lit);
    this.legend();
    this.redraw();
  },
  legend() {
    const box = byId("map-legend");
    const groups = [...this.groups.keys()].sort((a, b) => a - b);
    if (groups.length > 24) { box.replaceChildren(make("span", { class: "faint" }, `${groups.length} groups: colours repeat; hover to see which`)); return; }
    box.replaceChildren(...groups.map((group) => {
      const key = make("i", { class: "key" });
      key.style.background = this.groups.get(group).color;
      return make("button", { type: "button", class: "legend-button", onclick: () => {
        const name = byId("map-color").value === "class" ? samples.classNames[group] : String(group);
        const box = byId("map-highlight");
        box.value = box.value === name ? "" : name;
        this.regroup();
      } }, key, this.groupName(group));
    }));
  },
  place(i) {
    const side = Math.min(this.width, this.height) - 24;
    const left = (this.width - side) / 2, top = (this.height - side) / 2;
    return [(left + this.xs[i] * side - this.width / 2) * this.scale + this.width / 2 + this.shiftX,
      (top + this.ys[i] * side - this.height / 2) * this.scale + this.height / 2 + this.shiftY];
  },
  draw() {
    const canvas = this.canvas;
    this.width = canvas.clientWidth;
    this.height = canvas.clientHeight;
    if (!this.width) return;
    const context = sharpContext(canvas, this.width, this.height);
    context.fillStyle = color("--raised");
    context.fillRect(0, 0, this.width, this.height);
    const images = byId("map-images").checked;
    const radius = Math.min(6, (this.count > 2000 ? 1.8 : 2.6) * Math.sqrt(this.scale));
    const size = Math.max(10, Math.min(64, 14 * this.scale));
    for (const lit of [false, true]) {
      for (const group of this.groups.values()) {
        if (group.lit !== lit) continue;
        context.globalAlpha = lit ? 0.85 : 0.13;
        context.fillStyle = group.color;
        for (const i of group.members) {
          const [x, y] = this.place(i);
          if (x < -40 || y < -40 || x > this.width + 40 || y > this.height + 40) continue;
          if (images && lit && thumbsOf(this.ids[i])) {
            context.fillRect(x - size / 2 - 1.5, y - size / 2 - 1.5, size + 3, size + 3);
            thumbsOf(this.ids[i]).draw(context, this.ids[i], x - size / 2, y - size / 2, size, this.redraw);
            continue;
          }
          context.beginPath();
          context.arc(x, y, radius, 0, 7);
          context.fill();
        }
      }
    }
    context.globalAlpha = 1;
    if (this.chosen >= 0) {
      const [x, y] = this.place(this.chosen);
      context.lineWidth = 2;
      context.strokeStyle = color("--text");
      context.beginPath();
      context.arc(x, y, radius + 5, 0, 7);
      context.stroke();
    }
  },
  /* The lit point nearest to a place, within a distance. */
  near(x, y, within) {
    let best = -1, least = within * within;
    for (const group of this.groups.values()) {
      if (!group.lit) continue;
      for (const i of group.members) {
        const [px, py] = this.place(i);
        const distance = (px - x) ** 2 + (py - y) ** 2;
        if (distance < least) { least = distance; best = i; }
      }
    }
    return best;
  },
  choose(i) {
    if (i !== this.chosen) { this.chosen = i; this.redraw(); }
    if (i < 0) { tip.hide(); return; }
    const sample = this.ids[i];
    const [x, y] = this.place(i);
    const box = this.canvas.getBoundingClientRect();
    const lines = [make("strong", {}, samples.name(sample)), make("div", {}, `cluster ${samples.clusters[sample]}`)];
    if (samples.classes) lines.push(make("div", {}, `class ${samples.className(sample)}`));
    const picture = thumbElement(sample, false);
    picture.classList.add("large");
    tip.show(box.left + x, box.top + y, make("div", { class: "map-tip" }, picture, make("div", {}, ...lines)));
    byId("map-said").textContent = samples.describe(sample);
  },
  move(event) {
    const box = this.canvas.getBoundingClientRect();
    const x = event.clientX - box.left, y = event.clientY - box.top;
    const before = this.pointers.get(event.pointerId);
    if (!before) { this.choose(this.near(x, y, 14)); return; }
    if (this.pointers.size === 2) {
      const other = [...this.pointers].find(([id]) => id !== event.pointerId)[1];
      const was = Math.hypot(before.x - other.x, before.y - other.y), now = Math.hypot(x - other.x, y - other.y);
      if (was > 0) this.zoom(now / was, (x + other.x) / 2, (y + other.y) / 2);
    } else if (before.moved || Math.hypot(x - before.x, y - before.y) > 4) {
      this.shiftX += x - before.x;
      this.shiftY += y - before.y;
      this.dragged = true;
      this.chosen = -1;
      tip.hide();
      this.redraw();
    } else return;
    this.pointers.set(event.pointerId, { x, y, moved: true });
  },
  down(event) {
    const box = this.canvas.getBoundingClientRect();
    const x = event.clientX - box.left, y = event.clientY - box.top;
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, { x, y, moved: false });
    this.dragged = false;
    this.choose(this.near(x, y, event.pointerType === "mouse" ? 14 : 24));
  },
  opened() {
    if (this.dragged || this.chosen < 0 || !matchMedia("(hover: hover)").matches) return;
    openCluster(samples.clusters[this.ids[this.chosen]], clusterBrowser.order);
  },
  zoom(factor, x = this.width / 2, y = this.height / 2) {
    const scale = Math.max(0.8, Math.min(60, this.scale * factor));
    const ratio = scale / this.scale;
    this.shiftX = x - this.width / 2 - (x - this.width / 2 - this.shiftX) * ratio;
    this.shiftY = y - this.height / 2 - (y - this.height / 2 - this.shiftY) * ratio;
    this.scale = scale;
    tip.hide();
    this.redraw();
  },
  reset() { this.scale = 1; this.shiftX = this.shiftY = 0; this.chosen = -1; this.redraw(); },
  /* The wheel belongs to the page, unless the map was clicked or Ctrl is held. */
  wheel(event) {
    if (!event.ctrlKey && document.activeElement !== this.canvas) return;
    event.preventDefault();
    const box = this.canvas.getBoundingClientRect();
    this.zoom(Math.exp(-event.deltaY / 400), event.clientX - box.left, event.clientY - box.top);
  },
  key(event) {
    const steps = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };
    const zooms = { "+": 1.6, "=": 1.6, "-": 1 / 1.6 };
    if (event.key in steps) {
      event.preventDefault();
      if (event.shiftKey) { this.shiftX -= 60 * steps[event.key][0]; this.shiftY -= 60 * steps[event.key][1]; this.redraw(); } else this.step(...steps[event.key]);
    } else if (event.key in zooms) this.zoom(zooms[event.key]);
    else if (event.key === "0") this.reset();
    else if (event.key === "Escape") this.choose(-1);
    else if (event.key === "Enter" && this.chosen >= 0) {
      event.preventDefault();  // it would press the button of the dialog that has the focus then
      openCluster(samples.clusters[this.ids[this.chosen]], clusterBrowser.order);
    }
  },
  /* The nearest point in a direction, within 45 degrees of it. */
  step(dx, dy) {
    if (this.chosen < 0) { this.choose(this.near(this.width / 2, this.height / 2, 1e6)); return; }
    const [x, y] = this.place(this.chosen);
    let best = -1, least = Infinity;
    for (const group of this.groups.values()) {
      if (!group.lit) continue;
      for (const i of group.members) {
        const [px, py] = this.place(i);
        const along = (px - x) * dx + (py - y) * dy, across = Math.abs((px - x) * dy) + Math.abs((py - y) * dx);
        if (along <= 0 || across > along || i === this.chosen) continue;
        const distance = along + 2 * across;
        if (distance < least) { least = distance; best = i; }
      }
    }
    if (best < 0) return;
    const [px, py] = this.place(best);
    if (px < 0 || py < 0 || px > this.width || py > this.height) { this.shiftX += this.width / 2 - px; this.shiftY += this.height / 2 - py; this.redraw(); }
    this.choose(best);
  },
  showCluster(cluster) {
    byId("map-color").value = "cluster";
    byId("map-highlight").value = cluster;
    this.regroup();
    byId("map").scrollIntoView();
    this.canvas.focus({ preventScroll: true });
  },
};
