"use strict";
/* The cluster browser: one row per cluster, in a list whose rows exist while they are in sight. */
const clusters = (() => {
  const held = report.table;
  if (!held) return null;
  const table = {
    sizes: unpacked(held.sizes), spreads: unpacked(held.spreads), entropies: unpacked(held.entropies),
    purities: unpacked(held.purities), mainClasses: unpacked(held.main_classes),
    sheets: unpacked(held.sheets), width: held.width, parts: held.parts,
    stable: unpacked(report.stable_ids), since: unpacked(report.since),
  };
  table.count = table.sizes.length;
  table.sheet = (cluster) => Array.from(table.sheets.subarray(cluster * table.width, (cluster + 1) * table.width));
  table.title = (cluster) => `Cluster ${cluster}`;
  table.idNote = (cluster) => {
    if (!table.stable) return null;
    const since = report.epochs[table.since[cluster]].name;
    return `stable id ${table.stable[cluster]}, since ${since}`;
  };
  /* Its images, the nearest to the centroid first. */
  table.members = (cluster) => {
    const found = [];
    for (let i = 0; i < samples.count; i++) if (samples.clusters[i] === cluster) found.push(i);
    if (samples.distances) found.sort((a, b) => samples.distances[a] - samples.distances[b]);
    return found;
  };
  return table;
})();

function purityBar(share, name) {
  const bar = make("span", { class: "bar-of", title: `${percent(share)} ${name}` }, make("span", {}));
  bar.firstChild.style.width = 100 * share + "%";
  return make("span", { class: "purity" }, bar, make("span", { class: "bar-name" }, `${percent(share)} ${name}`));
}

/* Groups of a sheet: name and images. */
function sheetGroups(cluster) {
  const images = clusters.sheet(cluster);
  const [near, middle] = clusters.parts;
  if (!samples.distances) return [["drawn at random", images]];
  if (clusters.sizes[cluster] <= clusters.width) return [["all, the nearest first", images]];
  return [["nearest", images.slice(0, near)], ["median", images.slice(near, middle)], ["farthest", images.slice(middle)]];
}

function sheetElement(cluster, reachable) {
  return make("div", { class: "sheet" }, ...sheetGroups(cluster).map(([name, images]) => {
    const shown = images.filter((i) => i >= 0);
    const count = make("span", { class: "group-name" }, shown.length ? name : "empty");
    return make("div", { class: "group" }, count, make("div", { class: "thumbs" }, ...shown.map((i) => thumbElement(i, reachable))));
  }));
}

function openCluster(cluster, order) {
  const members = clusters.members(cluster);
  const facts = [`${whole(members.length)} images`];
  if (clusters.idNote(cluster)) facts.push(clusters.idNote(cluster));
  if (Number.isFinite(clusters.spreads[cluster])) facts.push(`mean distance ${number(clusters.spreads[cluster])}`);
  if (clusters.entropies && members.length) facts.push(`entropy ${number(clusters.entropies[cluster])} nats`);
  const body = [make("p", { class: "faint" }, facts.join(" · "))];
  const place = order.indexOf(cluster);
  const buttons = make("div", { class: "controls" });
  for (const [name, step] of [["Previous", -1], ["Next", 1]]) {
    const other = order[place + step];
    buttons.append(make("button", { type: "button", disabled: other === undefined, onclick: () => openCluster(other, order) }, name));
  }
  if (featureMap) {
    buttons.append(make("button", { type: "button", onclick: () => { dialog.close(); featureMap.showCluster(cluster); } }, "Show on the map"));
  }
  body.push(buttons);
  if (samples.classes && members.length) body.push(classShares(members));
  if (sheetThumbs.cell) body.push(sheetElement(cluster, true));
  body.push(make("h3", {}, "All images"), membersList(members));
  dialog.open(clusters.title(cluster), ...body);
  body.at(-1).dispatchEvent(new Event("shown"));
}

function classShares(members) {
  const counts = new Map();
  for (const i of members) counts.set(samples.classes[i], (counts.get(samples.classes[i]) || 0) + 1);
  const sorted = [...counts].sort((a, b) => b[1] - a[1]);
  const shown = sorted.slice(0, 6).map(([one, count]) => purityBar(count / members.length, samples.classNames[one]));
  const rest = sorted.length > 6 ? make("span", { class: "faint" }, `and ${sorted.length - 6} more classes`) : null;
  return make("div", { class: "class-shares" }, ...shown, rest);
}

/* Names of images in a list of its own, filled once the dialog is there to be measured. */
function membersList(members) {
  const box = make("div", { class: "list members", tabindex: "0", "aria-label": "Images" });
  box.addEventListener("shown", () => {
    const list = new VirtualList(box, (index) => {
      const i = members[index], link = samples.link(i);
      const name = link === null ? make("span", { class: "file" }, samples.name(i)) : make("a", { class: "file", href: link, target: "_blank", rel: "noopener" }, samples.name(i));
      const more = [samples.className(i), samples.distances ? number(samples.distances[i]) : null].filter((part) => part !== null);
      return make("div", { class: "member" }, name, make("span", { class: "faint" }, more.join(" · ")));
    });
    list.reset(members.length, 30);
  });
  return box;
}

const clusterBrowser = clusters && {
  order: [],
  matches: null,
  list: null,
  compute() {
    const query = byId("cluster-search").value.trim().toLowerCase();
    const scope = byId("cluster-scope").value;
    this.matches = null;
    let found = Array.from({ length: clusters.count }, (_, i) => i);
    if (query) {
      const chosen = new Set();
      if (scope === "any" || scope === "id") this.byNumber(query, chosen);
      if (samples.classes && (scope === "any" || scope === "class")) this.byClass(query, chosen, scope);
      if (scope === "any" || scope === "file") this.byFile(query, chosen);
      found = found.filter((cluster) => chosen.has(cluster));
    }
    const key = byId("cluster-sort").value;
    const columns = { size: clusters.sizes, spread: clusters.spreads, purity: clusters.purities, entropy: clusters.entropies, stable: clusters.stable };
    const values = columns[key];
    const sign = byId("cluster-direction").getAttribute("aria-pressed") === "true" ? -1 : 1;
    // empty clusters have no spread and no purity: always last
    const rank = (cluster) => (values ? values[cluster] : cluster);
    found.sort((a, b) => {
      const x = rank(a), y = rank(b);
      if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y) || a - b;
      return sign * (x - y) || a - b;
    });
    this.order = found;
  },
  byNumber(query, chosen) {
    if (!/^\d+$/.test(query)) return;
    for (let i = 0; i < clusters.count; i++) {
      if (i === +query || (clusters.stable && clusters.stable[i] === +query)) chosen.add(i);
    }
  },
  byClass(query, chosen, scope) {
    const wanted = samples.classNames.map((name) => (/^\d+$/.test(query) ? name.toLowerCase() === query : name.toLowerCase().includes(query)));
    // a number is an id first; as a class it has to be asked for
    if (scope === "any" && /^\d+$/.test(query)) return;
    for (let i = 0; i < clusters.count; i++) if (clusters.mainClasses[i] >= 0 && wanted[clusters.mainClasses[i]]) chosen.add(i);
  },
  byFile(query, chosen) {
    if (byId("cluster-scope").value === "any" && /^\d+$/.test(query)) return;
    this.matches = new Map();
    samples.searched((name, i) => {
      if (!name.includes(query)) return;
      const cluster = samples.clusters[i];
      chosen.add(cluster);
      const before = this.matches.get(cluster);
      this.matches.set(cluster, before ? { count: before.count + 1, first: before.first } : { count: 1, first: i });
    });
  },
  row(index) {
    const cluster = this.order[index];
    const facts = [make("span", {}, `${whole(clusters.sizes[cluster])} images`)];
    if (Number.isFinite(clusters.spreads[cluster])) facts.push(make("span", {}, `spread ${number(clusters.spreads[cluster])}`));
    const open = make("button", { type: "button", class: "open", onclick: () => openCluster(cluster, this.order) }, clusters.title(cluster));
    const head = make("div", { class: "head" }, open, make("div", { class: "facts" }, ...facts));
    const match = this.matches && this.matches.get(cluster);
    const note = match ? `${whole(match.count)} file${match.count > 1 ? "s" : ""}, such as ${samples.name(match.first)}` : clusters.idNote(cluster);
    if (note) head.append(make("div", { class: "faint note" }, note));
    if (clusters.purities && clusters.sizes[cluster]) {
      const main = samples.classNames[clusters.mainClasses[cluster]];
      head.append(purityBar(clusters.purities[cluster], `${main}, entropy ${number(+clusters.entropies[cluster].toFixed(2))}`));
    }
    const row = make("div", { class: "cluster-row", role: "listitem" }, head);
    if (sheetThumbs.cell) row.append(sheetElement(cluster, false));
    return row;
  },
  /* Thumbnails as large as fit, so that no row has to be moved sideways. */
  layout() {
    const box = byId("cluster-list");
    const width = box.clientWidth - 24;
    const wide = width >= 720;
    const [near] = clusters.parts;
    const most = Math.max(64, sheetThumbs.cell);
    const across = wide ? clusters.width : Math.max(near, clusters.width - near);
    const space = wide ? width - 256 - 32 : width - (near < clusters.width ? 16 : 0);
    const size = Math.max(16, Math.min(most, Math.floor(space / across) - 3));
    box.classList.toggle("narrow", !wide);
    box.style.setProperty("--thumb", size + "px");
    const lines = 20 * (1 + (clusters.purities ? 1 : 0));
    if (!sheetThumbs.cell) return lines + 80;
    return wide ? Math.max(lines + 56, size + 18) + 22 : lines + 32 + 2 * (size + 18) + 32;
  },
  show() {
    this.compute();
    byId("cluster-count").textContent = `${whole(this.order.length)} of ${whole(clusters.count)} clusters`;
    byId("cluster-list").scrollTop = 0;
    this.list.reset(this.order.length, this.layout());
    if (!this.order.length) this.list.inner.append(make("p", { class: "faint nothing" }, "No cluster matches."));
  },
  start() {
    this.list = new VirtualList(byId("cluster-list"), (index) => this.row(index));
    let timer = 0;
    byId("cluster-search").addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(() => this.show(), 120); });
    byId("cluster-scope").addEventListener("change", () => this.show());
    byId("cluster-sort").addEventListener("change", () => this.show());
    byId("cluster-direction").addEventListener("click", (event) => {
      const button = event.currentTarget, down = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(down));
      button.textContent = down ? "Largest first" : "Smallest first";
      this.show();
    });
    let width = 0;
    new ResizeObserver(perFrame(() => {
      const now = byId("cluster-list").clientWidth;
      if (now === width) return;
      width = now;
      this.list.reset(this.order.length, this.layout());
    })).observe(byId("cluster-list"));
    addEventListener("beforeprint", () => this.print());
    addEventListener("afterprint", () => byId("cluster-print").replaceChildren());
    this.show();
  },
  /* Paper has no scroll bar: the first rows of the present order. */
  print() {
    const most = Math.min(40, this.order.length);
    const rows = Array.from({ length: most }, (_, index) => this.row(index));
    const note = most < this.order.length ? `The first ${most} of ${whole(this.order.length)} clusters.` : "";
    byId("cluster-print").replaceChildren(make("p", { class: "faint" }, note), ...rows);
  },
};
