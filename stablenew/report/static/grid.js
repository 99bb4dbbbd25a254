// The pictures of a plan as tables; what is far from the window has no rows yet, and rows no pictures.

import { arranged, combined, isSparse, sorted } from "./arranging.js";
import { ComingNear } from "./coming_near.js";
import { element } from "./elements.js";
import { key } from "./pictures.js";

const AT_ONCE = 600; // pictures that are put into the page before anybody scrolls to them

/** @typedef {import("./pictures.js").Axis} Axis */

export class Grid {
  /** @param {any} root @param {{ ratings: import("./rating.js").Ratings,
   *   open: (p: any) => void, pinned: (p: any) => boolean, pin: (p: any) => void,
   *   extra?: (p: any) => Node[] }} does */
  constructor(root, does) {
    this.root = root;
    this.does = does;
    this.near = new ComingNear();
    this.view = { x: "", y: "", flipped: { x: false, y: false }, heat: false, chosen: {} };
    /** @type {any} */
    this.current = null;
    /** The pictures in the order of the page.
     * @type {any[]} */
    this.shown = [];
    this.places = new Map();
  }

  /** Draw a plan anew, as it is looked at now.
   * @param {import("./pictures.js").PlanPictures} pictures
   * @returns {Map<Axis, string>} What is done with the axes that are neither across nor down. */
  draw(pictures) {
    this.pictures = pictures;
    this.near.stop();
    const every = pictures.axes(), find = (path) => every.find((axis) => axis.path === path);
    const x = find(this.view.x) || every[0], y = find(this.view.y);
    const others = every.filter((axis) => axis !== x && axis !== y && axis.order.length > 1);
    const wanted = arranged(others, pictures.plain, this.view.chosen);
    const { beside, tables } = sorted(pictures.steps, x, y, wanted);
    this.shown = [];
    this.places = new Map();
    this.panels = [];
    for (const at of combined(beside)) {
      const cells = tables.get(at.join());
      if (!cells && this.panels.length + tables.size > 0 && beside.length) continue; // a sample may have none there
      this.panels.push(this.panel(at, beside, cells || new Map(), x, y));
    }
    this.put();
    return wanted;
  }

  put() {
    const scrolls = this.root.querySelectorAll(".scroll");
    const scrolled = new Map([...scrolls].map((each) => [each.dataset.table, [each.scrollLeft, each.scrollTop]]));
    const near = this.near.within(null);
    this.root.replaceChildren(...this.panels);
    for (const each of this.panels) {
      if (each.begin < AT_ONCE) each.near(); else near.observe(each);
      const [left, top] = scrolled.get(each.dataset.table) || [0, 0];
      if (left || top) { each.near(); each.lastChild.scrollTo(left, top); }
    }
  }

  /** @param {Axis} axis @param {"x" | "y"} which */
  ordered(axis, which) {
    return this.view.flipped[which] ? [...axis.order].reverse() : axis.order;
  }

  // A table with its title.
  panel(at, beside, cells, x, y) {
    const made = element("section", { className: "panel", begin: this.shown.length, dataset: { table: at.join() } });
    if (beside.length) {
      const textContent = beside.map((axis, n) => axis.labels[at[n]]).join(" · ");
      made.append(element("h2", { textContent }, ...beside.flatMap((axis, n) => this.start(axis.images?.[at[n]]))));
    }
    /** @type {(number | string)[]} */
    let across = this.ordered(x, "x");
    /** @type {(number | string)[]} */
    let down = y ? this.ordered(y, "y") : [""];
    if (cells.size && isSparse(this.pictures.plain)) { // a row that has nothing tells nothing
      const had = [...cells.keys()].map((at) => at.split("|"));
      across = across.filter((place) => had.some(([column]) => column === String(place)));
      down = down.filter((place) => had.some(([, row]) => row === String(place)));
    }
    const rows = down.map((row) => {
      const those = across.map((column) => cells.get(column + "|" + row) || { shots: [], failed: [] });
      const line = { begin: this.shown.length, those, fill: () => {} };
      for (const cell of those) for (const p of cell.shots) {
        this.places.set(key(p), this.shown.length);
        this.shown.push({ p, line, cell, made });
      }
      return line;
    });
    made.style.minHeight = made.begin < AT_ONCE ? "" : `calc(${rows.length} * (var(--cell) + 12px))`;
    made.near = () => {
      made.near = () => {};
      made.append(this.table(made.dataset.table, across, down, rows, x, y));
      made.style.minHeight = "";
    };
    return made;
  }

  table(name, across, down, rows, x, y) {
    const corner = (y ? [y.name + " ↓"] : []).concat(x.name + " →");
    const head = element("tr", {}, element("th", {}, ...corner.map((textContent) => element("div", { textContent }))));
    head.append(...across.map((place) => this.label(x, place, "col")));
    const body = element("tbody"), scroll = element("div", { className: "scroll", tabIndex: 0, role: "region", ariaLabel: "pictures", dataset: { table: name } });
    const near = this.near.within(scroll);
    down.forEach((place, n) => {
      const line = element("tr", {}, this.label(y, place, "row"));
      rows[n].fill = line.near = () => {
        rows[n].fill = line.near = () => {};
        line.append(...rows[n].those.map((cell) => this.cell(cell)));
      };
      if (rows[n].begin < AT_ONCE) line.near(); else near.observe(line);
      body.append(line);
    });
    scroll.append(element("table", {}, element("thead", {}, head), body));
    return scroll;
  }

  label(axis, place, scope) {
    const words = { textContent: axis ? axis.labels[place] : "", title: axis ? axis.texts[place] : "", scope };
    return element("th", words, ...this.start(axis?.images?.[place]));
  }

  cell(cell) {
    const made = element("div", { className: "cell" });
    made.append(...cell.shots.map((p) => this.shot(p)));
    for (const step of cell.failed.slice(0, 3)) {
      const why = step.error ? ": " + step.error : "";
      made.append(element("div", { className: "failed", textContent: step.outcome.replace("_", " ") + why }));
    }
    if (!cell.shots.length && !cell.failed.length) made.append(element("div", { className: "waiting" }));
    cell.td = element("td", {}, made);
    this.score(cell);
    return cell.td;
  }

  // The mean of a cell's ratings, as a colour and in words.
  score(cell) {
    const rated = cell.shots.filter((p) => !p.blank).map((p) => this.does.ratings.of(p)).filter((rating) => rating);
    const mean = rated.reduce((a, b) => a + b, 0) / rated.length;
    const told = this.view.heat && rated.length > 0;
    cell.td.style.background = told ? `hsl(${Math.round((mean - 1) * 30)} 70% 50% / .38)` : "";
    cell.td.querySelector(".score")?.remove();
    if (told) cell.td.append(element("div", { className: "score", textContent: mean.toFixed(1) + " · " + rated.length }));
  }

  shot(p) {
    const image = element("img", { src: p.small, loading: "lazy", decoding: "async", alt: "" });
    const caption = this.pictures.caption(p);
    const made = element("button", { className: "shot", title: caption, dataset: { key: key(p) } }, image);
    if (p.reused_from) made.append(element("i", { textContent: "reused" }));
    if (p.blank) made.append(element("u", { textContent: "blank" }));
    made.onclick = (event) => {
      if (event.shiftKey) this.does.pin(p); else this.does.open(p);
    };
    made.onfocus = () => { this.current = p; };
    this.marked(made, p);
    return made;
  }

  marked(made, p) {
    made.classList.toggle("pinned", this.does.pinned(p));
    const rating = this.does.ratings.of(p);
    made.querySelector("b")?.remove();
    if (rating) made.append(element("b", { textContent: String(rating) }));
    made.ariaLabel = this.pictures.caption(p) + (rating ? `, rated ${rating}` : "");
  }

  drawn(p) {
    return this.root.querySelector(`[data-key="${CSS.escape(key(p))}"]`);
  }

  // A picture that has another rating, or is pinned: nothing else is drawn again.
  mark(p) {
    const made = p && this.drawn(p);
    if (made) { this.marked(made, p); this.score(this.shown[this.places.get(key(p))].cell); }
  }

  scoreAll() {
    for (const { cell } of this.shown) if (cell.td) this.score(cell);
  }

  // The picture that something starts from, small.
  start(image) {
    const src = this.pictures.startOf(image);
    return src ? [element("img", { className: "start", src, alt: "", title: image })] : [];
  }

  /** The picture that comes so many after the current one, which it becomes; undefined at the end.
   * @param {number} by */
  step(by) {
    const at = this.current ? this.places.get(key(this.current)) : undefined;
    const next = this.shown[at === undefined ? 0 : at + by];
    if (next) this.current = next.p;
    return next?.p;
  }

  focus(p) {
    const at = this.shown[this.places.get(key(p))];
    at.made.near();
    at.line.fill();
    this.drawn(p)?.focus();
  }
}
