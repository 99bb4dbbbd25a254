// Thousands of pictures that scroll: only those in sight are in the page, and are asked for as they come near.

import { element } from "../shared/elements.js";
import { key } from "../shared/pictures.js";
import { get } from "./server.js";

const SHEET = 5_000; // pictures on one page
const ASKED = 250; // pictures that are asked for at once
const SIDE = 132; // of a place, in pixels
const SPARE = 3; // rows above and below what is in sight

export class PictureWindow {
  /** @param {{ chosen: (p: any, shift: boolean) => void, failed: (error: Error) => void }} does */
  constructor(does) {
    this.does = does;
    this.inside = element("div", { className: "inside" });
    this.root = element("div", { className: "window", ariaLabel: "pictures", role: "region", tabIndex: 0 }, this.inside);
    this.root.onscroll = () => this.draw();
    new ResizeObserver(() => this.draw(true)).observe(this.root);
    /** @type {Map<number, any>} */
    this.drawn = new Map();
    this.total = 0;
  }

  /** Show what is found. @returns {Promise<number>} How many pages there are. */
  async show(query, page) {
    this.query = query;
    this.begin = (page - 1) * SHEET;
    this.pages = new Map();
    this.root.scrollTop = 0;
    const first = await this.ask(this.begin / ASKED + 1);
    this.total = Math.max(0, Math.min(SHEET, (first?.total || 0) - this.begin));
    this.draw(true);
    return Math.max(1, Math.ceil((first?.total || 0) / SHEET));
  }

  ask(page) {
    if (!this.pages.has(page)) {
      const asked = { pictures: null, total: 0 }, { pages } = this;
      pages.set(page, asked);
      asked.done = get("api/pictures", { ...this.query, page, per_page: ASKED }).then((told) => {
        Object.assign(asked, told);
        if (this.pages === pages) this.draw(true);
        return told;
      }, (error) => { pages.delete(page); this.does.failed(error); });
    }
    return this.pages.get(page).done;
  }

  at(n) {
    const place = this.begin + n, page = this.pages?.get(Math.floor(place / ASKED) + 1);
    if (!page) this.ask(Math.floor(place / ASKED) + 1);
    return page?.pictures?.[place % ASKED];
  }

  // Draws what came into sight and takes away what left it; nothing else is touched.
  draw(anew = false) {
    if (!this.pages || this.root.hidden) return;
    const columns = Math.max(1, Math.floor(this.root.clientWidth / SIDE)), rows = Math.ceil(this.total / columns);
    this.inside.style.height = rows * SIDE + "px";
    const top = Math.max(0, Math.floor(this.root.scrollTop / SIDE) - SPARE);
    const end = Math.min(this.total, (top + Math.ceil(this.root.clientHeight / SIDE) + 2 * SPARE) * columns), begin = top * columns;
    if (columns !== this.columns) anew = true;
    this.columns = columns;
    for (const [n, each] of this.drawn) {
      if (n < begin || n >= end || (anew && each.picture !== this.at(n))) { each.remove(); this.drawn.delete(n); }
    }
    for (let n = begin; n < end; n++) {
      let each = this.drawn.get(n);
      if (!each) { each = this.place(this.at(n)); this.drawn.set(n, each); this.inside.append(each); }
      each.style.transform = `translate(${(n % columns) * SIDE}px, ${Math.floor(n / columns) * SIDE}px)`;
    }
  }

  place(p) {
    const words = p ? [...Object.entries(p.varied).map(([path, value]) => `${path.split(".").pop()} ${value}`), p.rating ? `rated ${p.rating}` : ""].filter(Boolean).join(" · ") : "";
    const made = element("button", { className: "shot", title: words, ariaLabel: words || "picture", picture: p, disabled: !p });
    if (!p) return made;
    made.dataset.key = key(p);
    made.append(element("img", { src: p.thumb, alt: "", decoding: "async" }));
    if (p.rating) made.append(element("b", { textContent: String(p.rating) }));
    made.onclick = (event) => this.does.chosen(p, event.shiftKey);
    made.onkeydown = (event) => { if (event.key === "c") this.does.chosen(p, true); };
    return made;
  }
}
