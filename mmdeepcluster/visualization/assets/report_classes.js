"use strict";
/* Clusters against classes as a heat map, neighbours in pictures, sizes; then all parts start. */
const heatMap = report.confusion && {
  chosen: null,
  start() {
    const held = report.confusion;
    this.rows = unpacked(held.rows);
    this.columns = unpacked(held.columns);
    this.table = unpacked(held.table);
    this.sums = Array.from(this.rows, (_, r) => this.table.subarray(r * this.columns.length, (r + 1) * this.columns.length).reduce((a, b) => a + b, 0));
    this.canvas = byId("heat-canvas");
    this.redraw = perFrame(() => this.draw());
    this.canvas.addEventListener("pointermove", (event) => this.hover(event));
    this.canvas.addEventListener("pointerdown", (event) => this.hover(event));
    this.canvas.addEventListener("pointerleave", () => this.choose(null));
    this.canvas.addEventListener("blur", () => this.choose(null));
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    this.canvas.addEventListener("click", () => this.chosen && openCluster(this.rows[this.chosen[0]], clusterBrowser.order));
    document.addEventListener("schemechange", this.redraw);
    new ResizeObserver(this.redraw).observe(this.canvas.parentElement);
    this.draw();
  },
  draw() {
    const space = this.canvas.parentElement.clientWidth;
    if (!space) return;
    const R = this.rows.length, C = this.columns.length;
    const names = Array.from(this.columns, (one) => samples.classNames[one]);
    const longest = Math.max(...names.map((name) => name.length));
    this.left = 56;
    this.top = Math.min(110, 14 + 6.2 * Math.min(16, longest));
    this.cellWidth = Math.max(9, Math.min(64, (space - this.left - 2) / C));
    this.cellHeight = Math.max(3, Math.min(22, 640 / R));
    const width = this.left + C * this.cellWidth + 2, height = this.top + R * this.cellHeight + 2;
    this.canvas.style.width = width + "px";
    this.canvas.style.height = height + "px";
    const context = sharpContext(this.canvas, width, height);
    context.clearRect(0, 0, width, height);
    context.font = "12px system-ui, sans-serif";
    context.fillStyle = color("--faint");
    names.forEach((name, c) => {
      if (this.cellWidth < 11 && c % 2) return;
      const flat = longest * 7 < this.cellWidth;
      context.save();
      context.translate(this.left + (c + 0.5) * this.cellWidth, this.top - 6);
      if (!flat) context.rotate(-Math.PI / 3);
      context.textAlign = flat ? "center" : "left";
      context.fillText(name.length > 16 ? name.slice(0, 15) + "…" : name, 0, 0);
      context.restore();
    });
    context.textAlign = "right";
    const every = Math.ceil(13 / this.cellHeight);
    for (let r = 0; r < R; r += every) context.fillText(this.rows[r], this.left - 6, this.top + (r + 0.5) * this.cellHeight + 4);
    const ink = color("--accent"), empty = color("--raised");
    const gap = this.cellHeight > 6 ? 1 : 0;
    for (let r = 0; r < R; r++) {
      for (let c = 0; c < C; c++) {
        const box = [this.left + c * this.cellWidth, this.top + r * this.cellHeight, this.cellWidth - gap, this.cellHeight - gap];
        context.globalAlpha = 1;
        context.fillStyle = empty;
        context.fillRect(...box);
        context.globalAlpha = Math.sqrt(this.table[r * C + c] / Math.max(1, this.sums[r]));
        context.fillStyle = ink;
        context.fillRect(...box);
      }
    }
    context.globalAlpha = 1;
    if (this.chosen) {
      const [r, c] = this.chosen;
      context.strokeStyle = color("--text");
      context.lineWidth = 2;
      context.strokeRect(this.left + c * this.cellWidth, this.top + r * this.cellHeight, this.cellWidth - gap, this.cellHeight - gap);
    }
  },
  hover(event) {
    const box = this.canvas.getBoundingClientRect();
    const c = Math.floor((event.clientX - box.left - this.left) / this.cellWidth), r = Math.floor((event.clientY - box.top - this.top) / this.cellHeight);
    const inside = r >= 0 && c >= 0 && r < this.rows.length && c < this.columns.length;
    this.choose(inside ? [r, c] : null, event.clientX, event.clientY);
  },
  key(event) {
    const steps = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] };
    if (event.key === "Escape") this.choose(null);
    if (event.key === "Enter" && this.chosen) {
      event.preventDefault();  // it would press the button of the dialog that has the focus then
      openCluster(this.rows[this.chosen[0]], clusterBrowser.order);
    }
    const step = steps[event.key];
    if (!step) return;
    event.preventDefault();
    const [r, c] = this.chosen ? [this.chosen[0] + step[0], this.chosen[1] + step[1]] : [0, 0];
    this.choose([Math.max(0, Math.min(this.rows.length - 1, r)), Math.max(0, Math.min(this.columns.length - 1, c))]);
  },
  choose(cell, x, y) {
    this.chosen = cell;
    this.redraw();
    if (!cell) { tip.hide(); return; }
    const [r, c] = cell, count = this.table[r * this.columns.length + c];
    const text = `${whole(count)} images, ${percent(count / Math.max(1, this.sums[r]))} of the cluster`;
    const box = this.canvas.getBoundingClientRect();
    tip.show(x === undefined ? box.left + this.left + (c + 1) * this.cellWidth : x, y === undefined ? box.top + this.top + r * this.cellHeight : y,
      make("strong", {}, `cluster ${this.rows[r]} × ${samples.classNames[this.columns[c]]}`), make("div", {}, text));
    byId("heat-said").textContent = `cluster ${this.rows[r]}, ${samples.classNames[this.columns[c]]}: ${text}`;
  },
};

function showNeighbors(box) {
  const held = report.neighbors;
  const queries = unpacked(held.queries), found = unpacked(held.neighbors), cosines = unpacked(held.cosines);
  const width = found.length / queries.length;
  queries.forEach((query, row) => {
    const shown = [];
    for (let c = 0; c < width; c++) {
      const other = found[row * width + c];
      const same = samples.classes ? samples.classes[query] === samples.classes[other] : null;
      const mark = same === null ? "" : same ? " ✓" : " ✗";
      shown.push(make("figure", { class: same === null ? "" : same ? "same" : "other" }, thumbElement(other), make("figcaption", {}, cosines[row * width + c].toFixed(2) + mark)));
    }
    const first = make("figure", { class: "query" }, thumbElement(query), make("figcaption", {}, samples.className(query) || "query"));
    box.append(make("div", { class: "neighbor-row" }, first, ...shown));
  });
}

if (clusters) {
  clusterBrowser.start();
  showSizes(clusters.sizes, byId("sizes-chart"));
}
if (epochView) epochView.start();
if (featureMap) featureMap.start();
if (heatMap) heatMap.start();
if (report.neighbors) showNeighbors(byId("neighbor-rows"));
document.documentElement.dataset.ready = "1";
