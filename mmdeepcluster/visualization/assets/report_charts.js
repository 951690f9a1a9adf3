"use strict";
/* Diagrams as SVG: lines over steps, and bars; values by hovering, or by the arrow keys. */
const SERIES_COLORS = 8;

function svg(tag, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

/* About `count` round numbers from low to high. */
function ticks(low, high, count) {
  const rough = (high - low) / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough * 0.999);
  const found = [];
  for (let value = Math.ceil(low / step - 1e-9) * step; value <= high + step * 1e-9; value += step) found.push(+value.toPrecision(12));
  return found;
}

function shortTick(value) {
  const size = Math.abs(value);
  if (size >= 1e6) return +(value / 1e6).toPrecision(3) + " M";
  if (size >= 1e4) return +(value / 1e3).toPrecision(3) + " k";
  return size !== 0 && size < 1e-3 ? value.toExponential(0) : String(+value.toPrecision(4));
}

class Chart {
  constructor(box, panel) {
    this.box = box;
    this.panel = panel;
    this.at = -1;
    const values = panel.series.flatMap((one) => one.values.filter((value) => value !== null));
    values.push(...panel.marks.map((mark) => mark.value));
    let low = Math.min(...values), high = Math.max(...values);
    if (panel.bars || (low > 0 && low < 0.5 * high)) low = Math.min(0, low);
    if (low === high) { low -= Math.abs(low) * 0.1; high += Math.abs(high) * 0.1 || 1; }
    const air = (high - low) * 0.05;
    this.low = low === 0 ? 0 : low - air;
    this.high = high + air;
    const steps = panel.bars ? [panel.bars.edges[0], panel.bars.edges.at(-1)] : panel.series.flatMap((one) => one.steps);
    this.first = Math.min(...steps);
    this.last = Math.max(...steps);
    if (panel.bars) this.steps = panel.bars.edges.slice(0, -1);
    else this.steps = [...new Set(steps)].sort((a, b) => a - b);
    if (this.first === this.last) { this.first -= 1; this.last += 1; }
    this.root = svg("svg", { tabindex: "0", role: "img", "aria-label": this.spoken() });
    box.append(this.root);
    this.root.addEventListener("pointermove", (event) => this.hover(event));
    this.root.addEventListener("pointerdown", (event) => this.hover(event));
    this.root.addEventListener("pointerleave", () => this.choose(-1));
    this.root.addEventListener("blur", () => this.choose(-1));
    this.root.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(perFrame(() => this.draw())).observe(box);
    this.draw();
  }
  spoken() {
    const ends = this.panel.series.map((one) => `${one.name}: ${number(one.values[0])} to ${number(one.values.at(-1))}`);
    return `${this.panel.title}; ${ends.join("; ")}. Left and right keys read values.`;
  }
  x(step) { return this.left + ((step - this.first) / (this.last - this.first)) * this.width; }
  y(value) { return this.top + (1 - (value - this.low) / (this.high - this.low)) * this.height; }
  draw() {
    const width = this.box.clientWidth, height = this.panel.height || 210;
    if (!width) return;
    this.left = 52; this.top = 10; this.width = width - 52 - 12; this.height = height - 10 - 40;
    const root = this.root;
    root.replaceChildren();
    root.setAttribute("viewBox", `0 0 ${width} ${height}`);
    root.setAttribute("width", width);
    root.setAttribute("height", height);
    for (const value of ticks(this.low, this.high, 4)) {
      const y = this.y(value);
      root.append(svg("line", { x1: this.left, x2: this.left + this.width, y1: y, y2: y, class: "grid" }));
      root.append(svg("text", { x: this.left - 6, y: y + 4, "text-anchor": "end" }, shortTick(value)));
    }
    for (const value of ticks(this.first, this.last, Math.max(2, this.width / 64))) {
      if (!this.panel.bars && !Number.isInteger(value)) continue;
      root.append(svg("text", { x: this.x(value), y: this.top + this.height + 16, "text-anchor": "middle" }, shortTick(value)));
    }
    const middle = this.left + this.width / 2;
    root.append(svg("text", { x: middle, y: height - 6, "text-anchor": "middle", class: "axis" }, this.panel.x));
    const turned = `translate(12 ${this.top + this.height / 2}) rotate(-90)`;
    root.append(svg("text", { transform: turned, "text-anchor": "middle", class: "axis" }, this.panel.unit));
    if (this.panel.bars) this.drawBars(); else this.drawLines();
    for (const mark of this.panel.marks) this.drawMark(mark);
    this.cursor = svg("g", {});
    root.append(this.cursor);
    if (this.at >= 0) this.choose(this.at);
  }
  drawLines() {
    this.panel.series.forEach((one, index) => {
      let path = "", open = false;
      one.steps.forEach((step, i) => {
        if (one.values[i] === null) { open = false; return; }
        path += `${open ? "L" : "M"}${this.x(step).toFixed(1)} ${this.y(one.values[i]).toFixed(1)}`;
        open = true;
      });
      this.root.append(svg("path", { d: path, class: "line series-" + (index % SERIES_COLORS) }));
      if (one.steps.length < 3) {
        one.steps.forEach((step, i) => {
          if (one.values[i] !== null) this.root.append(svg("circle", { cx: this.x(step), cy: this.y(one.values[i]), r: 3, class: "dot series-" + (index % SERIES_COLORS) }));
        });
      }
    });
  }
  drawBars() {
    const { edges } = this.panel.bars;
    this.panel.series[0].values.forEach((value, i) => {
      const x = this.x(edges[i]), y = this.y(value);
      const width = Math.max(1, this.x(edges[i + 1]) - x - 1);
      this.root.append(svg("rect", { x, y, width, height: this.top + this.height - y, class: "bar" }));
    });
  }
  drawMark(mark) {
    const upright = mark.upright;
    const at = upright ? this.x(mark.value) : this.y(mark.value);
    const ends = upright ? { x1: at, x2: at, y1: this.top, y2: this.top + this.height } : { x1: this.left, x2: this.left + this.width, y1: at, y2: at };
    this.root.append(svg("line", { ...ends, class: "mark" }));
    const right = upright && at < this.left + this.width / 2;
    const place = upright ? { x: at + (right ? 5 : -5), y: this.top + 10, "text-anchor": right ? "start" : "end" }
      : { x: this.left + this.width - 2, y: at > this.top + 16 ? at - 4 : at + 13, "text-anchor": "end" };
    this.root.append(svg("text", { ...place, class: "mark-name" }, mark.name));
  }
  hover(event) {
    const place = this.root.getBoundingClientRect();
    const at = this.first + ((event.clientX - place.left - this.left) / this.width) * (this.last - this.first);
    let best = 0;
    if (this.panel.bars) {
      while (best + 1 < this.steps.length && this.steps[best + 1] <= at) best++;
    } else {
      this.steps.forEach((step, i) => { if (Math.abs(step - at) < Math.abs(this.steps[best] - at)) best = i; });
    }
    this.choose(best, event.clientX, event.clientY);
  }
  key(event) {
    const last = this.steps.length - 1;
    const next = { ArrowRight: Math.min(last, this.at + 1), ArrowLeft: Math.max(0, this.at - 1), Home: 0, End: last }[event.key];
    if (event.key === "Escape") this.choose(-1);
    if (next === undefined) return;
    event.preventDefault();
    this.choose(next);
  }
  choose(index, clientX, clientY) {
    this.at = index;
    this.cursor.replaceChildren();
    if (index < 0) { tip.hide(); return; }
    const bars = this.panel.bars;
    const step = this.steps[index];
    const x = bars ? (this.x(step) + this.x(bars.edges[index + 1])) / 2 : this.x(step);
    this.cursor.append(svg("line", { x1: x, x2: x, y1: this.top, y2: this.top + this.height, class: "cursor" }));
    const lines = [make("strong", {}, bars ? bars.names[index] : `${this.panel.x} ${whole(step)}`)];
    this.panel.series.forEach((one, i) => {
      const at = bars ? index : one.steps.indexOf(step);
      if (at < 0 || one.values[at] === null) return;
      if (!bars) this.cursor.append(svg("circle", { cx: x, cy: this.y(one.values[at]), r: 4, class: "dot series-" + (i % SERIES_COLORS) }));
      lines.push(make("div", {}, make("i", { class: "key series-" + (i % SERIES_COLORS) }), `${one.name}: ${number(one.values[at])}`));
    });
    const place = this.root.getBoundingClientRect();
    tip.show(clientX === undefined ? place.left + x : clientX, clientY === undefined ? place.top + 20 : clientY, ...lines);
  }
}

function chartFigure(panel) {
  const figure = make("figure", { class: "chart" }, make("h3", {}, panel.title));
  if (panel.series.length > 1) {
    const names = panel.series.map((one, i) => make("span", {}, make("i", { class: "key series-" + (i % SERIES_COLORS) }), one.name));
    figure.append(make("div", { class: "legend" }, ...names));
  }
  const place = make("div", { class: "plot" });
  figure.append(place);
  const mean = Math.max(...panel.series.map((one) => one.mean_of || 1));
  const note = (panel.hint || "") + (mean > 1 ? ` Each point is the mean of ${mean} logged values.` : "");
  if (note) figure.append(make("figcaption", {}, note));
  return { figure, place };
}

function showCharts(panels, box) {
  for (const panel of panels) {
    const { figure, place } = chartFigure(panel);
    box.append(figure);
    new Chart(place, panel);
  }
}

const panels = pageData("panels") || [];
if (byId("chart-grid")) {
  showCharts(panels.filter((panel) => panel.main), byId("chart-grid"));
  const others = byId("other-charts");
  if (others) others.addEventListener("toggle", () => {
    const box = byId("other-grid");
    if (others.open && !box.children.length) showCharts(panels.filter((panel) => !panel.main), box);
  });
}

/* Sizes of the clusters as bars. */
function showSizes(sizes, box) {
  const largest = Math.max(...sizes), smallest = Math.min(...sizes);
  const span = Math.max(1, largest - smallest + 1);
  const width = Math.max(1, Math.ceil(span / Math.min(30, span)));
  const bins = Math.ceil(span / width);
  const counts = new Array(bins).fill(0);
  for (const size of sizes) counts[Math.floor((size - smallest) / width)]++;
  const edges = counts.map((_, i) => smallest + i * width).concat(smallest + bins * width);
  const names = counts.map((_, i) => (width === 1 ? `${whole(edges[i])} images` : `${whole(edges[i])} to ${whole(edges[i + 1] - 1)} images`));
  const mean = samples.count / sizes.length;
  const inside = mean >= edges[0] && mean <= edges.at(-1);
  const panel = {
    title: "Clusters by size", unit: "clusters", x: "images in a cluster", hint: "", height: 260, bars: { edges, names },
    marks: inside ? [{ value: mean, name: `equal sizes: ${number(+mean.toFixed(1))}`, upright: true }] : [],
    series: [{ name: "clusters", values: counts, steps: edges.slice(0, -1) }],
  };
  // the marks stand on the x axis, so they say nothing about heights
  const chart = Object.assign({}, panel, { marks: [] });
  const { figure, place } = chartFigure(panel);
  box.append(figure);
  const drawn = new Chart(place, chart);
  drawn.panel.marks = panel.marks;
  drawn.draw();
}
