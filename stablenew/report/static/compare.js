// One picture large with its settings, or two beside each other; it is rated there as well.

import { element, inWords } from "./elements.js";
import { key } from "./pictures.js";

export class Compare {
  /** @param {{ grid: import("./grid.js").Grid, ratings: import("./rating.js").Ratings,
   *   rated: (p: any) => void, more?: (p: any) => Node[] }} does `rated` is told after a rating. */
  constructor(does) {
    this.does = does;
    /** The picture that the others are held against.
     * @type {any} */
    this.pinned = null;
    this.big = element("div", { id: "big" });
    this.dialog = element("dialog", { id: "dialog", ariaLabel: "pictures enlarged" }, this.big);
    this.dialog.onclick = (event) => { if (event.target === this.dialog) this.dialog.close(); };
  }

  get isOpen() {
    return this.dialog.open;
  }

  /** @param {any} p */
  isPinned(p) {
    return Boolean(this.pinned) && key(this.pinned) === key(p);
  }

  /** Pin a picture, or take it off again.
   * @param {any} p */
  pin(p) {
    const before = this.pinned;
    this.pinned = this.isPinned(p) ? null : p;
    if (before) this.does.grid.mark(before);
    this.does.grid.mark(p);
  }

  /** @param {any} p */
  open(p) {
    this.does.grid.current = p;
    const both = this.pinned && !this.isPinned(p) ? [this.pinned, p] : [p];
    this.big.replaceChildren(...both.map((each) => this.figure(each)));
    if (!this.dialog.open) this.dialog.showModal();
  }

  /** Rate a picture; a blank one says nothing about its settings.
   * @param {any} p @param {number} rating 0 takes it back. */
  rate(p, rating) {
    if (p.blank) return;
    this.does.ratings.give(p, rating);
    this.does.grid.mark(p);
    this.does.rated(p);
    if (this.isOpen) this.open(p);
  }

  /** Go on by so many pictures.
   * @param {number} by */
  step(by) {
    const next = this.does.grid.step(by);
    if (next) { if (this.isOpen) this.open(next); else this.does.grid.focus(next); }
  }

  /** What a key does; whether it does anything.
   * @param {KeyboardEvent} event */
  pressed(event) {
    const current = this.does.grid.current;
    const typed = /SELECT|INPUT|TEXTAREA/.test(/** @type {Element} */ (event.target).tagName);
    if (event.ctrlKey || event.metaKey || event.altKey || typed) return false;
    if (current && /^[0-5]$/.test(event.key)) {
      this.rate(current, Number(event.key));
      if (event.key !== "0") this.step(1);
    } else if (event.key === "ArrowRight") this.step(1);
    else if (event.key === "ArrowLeft") this.step(-1);
    else return false;
    event.preventDefault();
    return true;
  }

  figure(p) {
    const { grid, ratings } = this.does, settings = grid.pictures.settingsOf(p), caption = grid.pictures.caption(p);
    const image = element("img", { src: p.address, alt: caption, className: p.width < 256 ? "small" : "" });
    /** @type {Record<string, unknown>} */
    const facts = { rating: ratings.of(p) || "–", size: p.width + "×" + p.height, "run took": (p.step.seconds ?? p.seconds).toFixed(1) + " s", "made on": p.step.node, "reused from": p.reused_from, ...settings };
    if (p.warnings) facts.warnings = p.warnings.join("; ");
    const told = element("figcaption", { tabIndex: 0 }, ...grid.start(settings.image), element("strong", { textContent: caption }), factList(facts));
    return element("figure", {}, element("div", { className: "view" }, image), this.buttons(p), told);
  }

  // What the keys do, for whoever has none.
  buttons(p) {
    const made = element("div", { className: "buttons" });
    const add = (textContent, title, onclick) => {
      const one = element("button", { textContent, title, ariaLabel: title, onclick });
      made.append(one);
      return one;
    };
    const go = (by) => () => { this.does.grid.current = p; this.step(by); };
    add("←", "the one before", go(-1));
    for (let n = 1; n <= 5 && !p.blank; n++) {
      const given = this.does.ratings.of(p) === n;
      add(String(n), "rate " + n, () => this.rate(p, given ? 0 : n)).classList.toggle("given", given);
    }
    add("→", "the next one", go(1));
    made.append(...(this.does.more ? this.does.more(p) : []));
    add("✕", "close", () => this.dialog.close());
    return made;
  }
}

/** Names with their values; what has none is left out.
 * @param {Record<string, unknown>} facts */
export function factList(facts) {
  const list = element("dl");
  for (const [name, value] of Object.entries(facts)) {
    if (value === null || value === undefined || value === "") continue;
    list.append(element("dt", { textContent: name }), element("dd", { textContent: inWords(value) }));
  }
  return list;
}
