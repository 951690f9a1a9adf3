"use strict";
/* Two clusterings of the same images side by side, clusters paired by their stable ids. */
const epochView = report.epochs.length > 1 && {
  held: report.epochs.map((epoch) => ({ name: epoch.name, packedLabels: epoch.labels, packedIds: epoch.ids })),
  pairs: [],
  list: null,
  epoch(index) {
    const epoch = this.held[index];
    if (!epoch.labels) { epoch.labels = unpacked(epoch.packedLabels); epoch.ids = unpacked(epoch.packedIds); }
    return epoch;
  },
  compare(first, second) {
    const a = this.epoch(first), b = this.epoch(second);
    const places = new Map();
    a.ids.forEach((id, cluster) => places.set(id, { id, a: cluster, b: -1, sizeA: 0, sizeB: 0, stayed: 0 }));
    b.ids.forEach((id, cluster) => {
      if (!places.has(id)) places.set(id, { id, a: -1, b: cluster, sizeA: 0, sizeB: 0, stayed: 0 });
      else places.get(id).b = cluster;
    });
    const ofA = Array.from(a.ids, (id) => places.get(id)), ofB = Array.from(b.ids, (id) => places.get(id));
    let stayed = 0;
    for (let i = 0; i < samples.count; i++) {
      const x = ofA[a.labels[i]], y = ofB[b.labels[i]];
      x.sizeA++;
      y.sizeB++;
      if (x === y) { x.stayed++; stayed++; }
    }
    // ids of clusters that hold nothing at either time are no pairs
    const pairs = [...places.values()].filter((pair) => pair.sizeA || pair.sizeB);
    return { pairs, stayed, kept: pairs.filter((pair) => pair.sizeA && pair.sizeB).length, began: pairs.filter((pair) => !pair.sizeA).length, ended: pairs.filter((pair) => !pair.sizeB).length };
  },
  show() {
    const first = +byId("epoch-a").value, second = +byId("epoch-b").value;
    const found = this.compare(first, second);
    const moved = (pair) => pair.sizeA + pair.sizeB - 2 * pair.stayed;
    const orders = { moved: (x, y) => moved(y) - moved(x), size: (x, y) => y.sizeB - x.sizeB, id: () => 0 };
    const compare = orders[byId("epoch-sort").value];
    this.pairs = found.pairs.sort((x, y) => compare(x, y) || x.id - y.id);
    this.largest = Math.max(...this.pairs.map((pair) => Math.max(pair.sizeA, pair.sizeB)));
    const a = this.epoch(first).name, b = this.epoch(second).name;
    byId("epoch-summary").textContent = `${percent(found.stayed / samples.count)} of the images are in the same cluster at ${a} and at ${b}. `
      + `${whole(found.kept)} clusters keep their id, ${whole(found.began)} are new, ${whole(found.ended)} have ended.`;
    byId("epoch-name-a").textContent = "images, " + a;
    byId("epoch-name-b").textContent = "images, " + b;
    byId("epoch-list").scrollTop = 0;
    this.list.reset(this.pairs.length, byId("epoch-list").clientWidth < 620 ? 62 : 38);
  },
  bar(size, side) {
    const bar = make("span", { class: "size-bar " + side }, make("span", {}));
    bar.firstChild.style.width = (100 * size) / Math.max(1, this.largest) + "%";
    return make("span", { class: "size-cell" }, bar, make("span", { class: "figure" }, size ? whole(size) : "-"));
  },
  row(index) {
    const pair = this.pairs[index];
    const came = pair.sizeB - pair.stayed, left = pair.sizeA - pair.stayed;
    const state = !pair.sizeA ? "new" : !pair.sizeB ? "ended" : "";
    const open = make("button", { type: "button", class: "open", onclick: () => this.openPair(pair) }, `Id ${pair.id}`);
    return make("div", { class: "epoch-row " + state, role: "listitem" }, open, this.bar(pair.sizeA, "a"), this.bar(pair.sizeB, "b"),
      make("span", { class: "moves" }, make("span", {}, `${whole(pair.stayed)} stayed`), make("span", { class: "came" }, `+${whole(came)} came`), make("span", { class: "left" }, `−${whole(left)} left`)));
  },
  openPair(pair) {
    const a = this.epoch(+byId("epoch-a").value), b = this.epoch(+byId("epoch-b").value);
    const groups = { stayed: [], came: [], left: [] };
    for (let i = 0; i < samples.count; i++) {
      const before = a.labels[i] === pair.a && pair.a >= 0, after = b.labels[i] === pair.b && pair.b >= 0;
      if (before && after) groups.stayed.push(i);
      else if (after) groups.came.push(i);
      else if (before) groups.left.push(i);
    }
    const titles = { stayed: `In it at ${a.name} and at ${b.name}`, came: `Came after ${a.name}`, left: `Left before ${b.name}` };
    const body = [make("p", { class: "faint" }, `${pair.a >= 0 ? "cluster " + pair.a : "not there"} at ${a.name}, ${pair.b >= 0 ? "cluster " + pair.b : "not there"} at ${b.name}`)];
    const lists = [];
    for (const [key, members] of Object.entries(groups)) {
      const shown = members.filter((i) => thumbsOf(i)).slice(0, 24);
      body.push(make("h3", {}, `${titles[key]}: ${whole(members.length)}`));
      if (shown.length) body.push(make("div", { class: "thumbs" }, ...shown.map((i) => thumbElement(i))));
      if (members.length) { lists.push(membersList(members)); lists.at(-1).classList.add("short"); body.push(lists.at(-1)); }
    }
    dialog.open(`Stable id ${pair.id}`, ...body);
    lists.forEach((box) => box.dispatchEvent(new Event("shown")));
  },
  start() {
    // what the last epochs moved; the end differs from the last of them by what the assigner says
    const last = this.held.length - 1, before = this.held[last].name.startsWith("epoch") ? last - 1 : last - 2;
    for (const [id, chosen] of [["epoch-a", Math.max(0, before)], ["epoch-b", last]]) {
      const select = byId(id);
      this.held.forEach((epoch, i) => select.append(make("option", { value: i, selected: i === chosen }, epoch.name)));
      select.addEventListener("change", () => this.show());
    }
    byId("epoch-sort").addEventListener("change", () => this.show());
    this.list = new VirtualList(byId("epoch-list"), (index) => this.row(index));
    let width = 0;
    new ResizeObserver(perFrame(() => {
      const now = byId("epoch-list").clientWidth;
      if (now !== width) { width = now; this.show(); }
    })).observe(byId("epoch-list"));
  },
};
