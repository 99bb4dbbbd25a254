// Thousands of pictures that scroll: only those in sight are in the page, and are asked for as they come near.

import { element } from "../shared/elements.js";
import { key } from "../shared/pictures.js";
import { get } from "./server.js";

const SHEET = 5_000; // pictures on one page
const ASKED = 250; // pictures that are asked for at once
const SIDE = 132; // of a place, in pixels
const SPARE = 3; // rows above and below what is in sight
const AT_ONCE = 32; // places that are made in one frame
const FAST = 1; // rows a frame above which nobody sees a picture: they are shown once it is slower

export class PictureWindow {
  /** @param {{ chosen: (p: any, pinning: boolean) => void, failed: (error: Error) => void }} does */
  constructor(does) {
    this.does = does;
    this.inside = element("div", { className: "inside" });
    this.root = element("div", { className: "window", ariaLabel: "pictures", role: "region", tabIndex: 0 }, this.inside);
    this.root.onscroll = () => this.soon();
    this.root.onkeydown = (event) => this.pressed(event);
    new ResizeObserver(() => { this.measure(); this.soon(); }).observe(this.root);
    /** The places in the page, by number. @type {Map<number, any>} */
    this.drawn = new Map();
    /** Places that are not needed now: made once, used again. @type {any[]} */
    this.spare = [];
    this.total = 0;
    this.columns = 1;
    this.high = 0;
    this.pinned = "";
  }

  /** Show what is found. @returns {Promise<any>} The server's answer, with the pages that there are here. */
  async show(query, page) {
    this.query = query;
    this.begin = (page - 1) * SHEET;
    this.pages = new Map();
    for (const n of [...this.drawn.keys()]) this.put(n);
    this.root.scrollTop = 0;
    const first = await this.ask(this.begin / ASKED + 1);
    if (!first) return undefined;
    this.total = Math.max(0, Math.min(SHEET, first.total - this.begin));
    this.measure();
    this.draw();
    return { ...first, pages: Math.max(1, Math.ceil(first.total / SHEET)) };
  }

  ask(page) {
    if (!this.pages.has(page)) {
      const asked = { pictures: null, total: 0, done: null }, { pages } = this;
      pages.set(page, asked);
      asked.done = get("api/pictures", { page, per_page: ASKED, ...this.query }).then((told) => {
        Object.assign(asked, told);
        if (this.pages === pages) this.soon();
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

  measure() {
    const columns = Math.max(1, Math.floor(this.root.clientWidth / SIDE));
    this.high = this.root.clientHeight;
    if (columns !== this.columns) for (const n of [...this.drawn.keys()]) this.put(n);
    this.columns = columns;
    this.inside.style.height = Math.ceil(this.total / columns) * SIDE + "px";
  }

  soon() {
    this.frame ||= requestAnimationFrame(() => { this.frame = 0; this.draw(); });
  }

  // Draws what came into sight and takes away what left it; nothing else is touched.
  draw() {
    if (!this.pages || this.root.hidden) return;
    const top = Math.floor(this.root.scrollTop / SIDE), rows = Math.ceil(this.high / SIDE) + 1, last = Math.max(0, this.total - 1);
    const begin = Math.max(0, top - SPARE) * this.columns, end = Math.min(last, (top + rows + SPARE) * this.columns - 1);
    for (const n of [...this.drawn.keys()]) if (n < begin || n > end) this.put(n);
    const fresh = [];
    for (let n = begin; n <= end && n < this.total; n++) {
      const each = this.drawn.get(n), p = this.at(n);
      if (!each || each.picture !== p || (each.isBare && !this.isFast)) fresh.push([n, each, p]);
    }
    this.isFast = Math.abs(top - (this.top ?? top)) > FAST;
    this.top = top;
    // What is in sight comes first, and a frame makes so many as it has the time for.
    const seen = ([n]) => { const row = Math.floor(n / this.columns); return row >= top && row < top + rows ? 0 : 1; };
    fresh.sort((one, other) => seen(one) - seen(other));
    for (const [n, each, p] of fresh.slice(0, AT_ONCE)) this.fill(n, each, p);
    if (fresh.length > AT_ONCE || this.isFast) this.soon();
  }

  // A place that left what is in sight waits for the next one that comes into it; one with the focus stays itself.
  put(n) {
    const each = this.drawn.get(n);
    this.drawn.delete(n);
    each.remove();
    if (each !== document.activeElement && this.spare.length < 200) this.spare.push(each);
  }

  fill(n, drawn, p) {
    const each = drawn || this.spare.pop() || this.place();
    each.number = n;
    each.picture = p;
    each.style.transform = `translate(${(n % this.columns) * SIDE}px, ${Math.floor(n / this.columns) * SIDE}px)`;
    each.disabled = !p;
    each.isBare = Boolean(p) && this.isFast;
    const [image, mark] = each.children;
    mark.textContent = p?.rating ?? "";
    image.hidden = !p;
    if (p) {
      if (!this.isFast) image.src = p.thumb; else image.removeAttribute("src");
      each.dataset.key = key(p);
      each.title = each.ariaLabel = [...Object.entries(p.varied).map(([path, value]) => `${path.split(".").pop()} ${value}`), p.rating ? `rated ${p.rating}` : ""].filter(Boolean).join(" · ") || "picture";
      each.classList.toggle("pinned", key(p) === this.pinned);
    }
    this.drawn.set(n, each);
    if (!drawn) this.inside.append(each);
  }

  place() {
    const made = element("button", { className: "shot" }, element("img", { alt: "", decoding: "async", width: 124, height: 124 }), element("b"));
    made.onclick = (event) => this.does.chosen(made.picture, event.shiftKey);
    return made;
  }

  /** @param {string} name The one that is held against another; "" for none. */
  pin(name) {
    this.pinned = name;
    for (const each of this.drawn.values()) each.classList.toggle("pinned", Boolean(name) && each.dataset.key === name);
  }

  pressed(event) {
    const at = document.activeElement === this.root ? -1 : /** @type {any} */ (document.activeElement).number;
    const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.columns, ArrowDown: this.columns }[event.key];
    if (event.key === "c" && at >= 0) this.does.chosen(this.at(at), true);
    else if (by) this.focus(at < 0 ? Math.ceil(this.root.scrollTop / SIDE) * this.columns : at + by);
    else return;
    event.preventDefault();
  }

  focus(n) {
    if (n < 0 || n >= this.total) return;
    const top = Math.floor(n / this.columns) * SIDE;
    if (top < this.root.scrollTop) this.root.scrollTop = top;
    else if (top + SIDE > this.root.scrollTop + this.high) this.root.scrollTop = top + SIDE - this.high;
    if (!this.drawn.has(n)) this.fill(n, undefined, this.at(n));
    this.drawn.get(n).focus({ preventScroll: true });
  }
}
