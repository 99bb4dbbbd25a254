// Rate: one key a picture, or the better of two; what was varied is hidden until then, and the order is chance's.

import { element, inWords } from "../shared/elements.js";
import { key } from "../shared/pictures.js";
import { PlanChoice, nothing } from "./plan_choice.js";
import { get, inPath } from "./server.js";

const SHOWN = 6; // of those just rated
const SOON = 300; // milliseconds that what was made is gathered before it joins

/** What sets a picture, or a pair, apart. @param {any} asked */
const nameOf = (asked) => [asked].flat().map(key).sort().join();

export class Rate {
  /** @param {import("./studio.js").StudioWindow} studio */
  constructor(studio) {
    this.studio = studio;
    this.choice = new PlanChoice(studio, "rate");
    this.way = element("button", { onclick: () => this.turn() });
    this.again = element("input", { type: "checkbox", onchange: () => studio.attempt(() => this.load()) });
    this.count = element("span", { className: "count", role: "status" });
    this.stage = element("div", { className: "asked" });
    this.keys = element("div", { className: "keys" });
    this.past = element("ol", { className: "past", ariaLabel: "just rated" });
    const bar = element("div", { className: "chosen" }, this.choice.root, this.way, element("label", {}, this.again, " rated ones again"), this.count);
    this.root = element("div", {}, element("h1", { className: "unseen", textContent: "Rate" }), bar, this.stage, this.keys, this.past);
    this.pairs = false;
    /** @type {any[]} Pictures, or pairs of them, that are asked about. */
    this.asked = [];
    this.at = 0;
    /** @type {any[]} */
    this.given = [];
  }

  async open(id, run, image) {
    this.id = await this.choice.choose(id === "these" ? "" : id);
    this.these = id === "these" ? [this.studio.toRate || []].flat() : null;
    await this.load();
  }

  async load() {
    if (!this.id && !this.these) { this.asked = []; this.show(); return; }
    this.asked = this.these || (await this.read());
    this.studio.ratings.learn(this.asked.flat().map((p) => [key(p), p.rating]));
    this.at = 0;
    this.show();
  }

  async read() {
    const address = "api/plans/" + inPath(this.id);
    if (this.pairs) return (await get(address + "/to-compare")).pairs;
    return (await get(address + "/to-rate", { again: this.again.checked ? 1 : 0 })).pictures;
  }

  // What is made while somebody rates comes behind what is asked already.
  async more() {
    const { asked } = this, there = new Set(asked.map(nameOf)), found = await this.read();
    if (asked !== this.asked) return;
    const waited = this.at >= asked.length;
    asked.push(...found.filter((each) => !there.has(nameOf(each))));
    if (waited) this.show(); else this.showCount();
  }

  heard(event) {
    const ours = [event.plan_id, event.run_id].includes(this.id) && !this.these;
    if (!ours || this.timer || !["StepFinished", "RunFinished", "PlanFinished"].includes(event.type)) return;
    this.timer = setTimeout(() => { this.timer = 0; this.studio.attempt(() => this.more()); }, SOON);
  }

  turn() {
    this.pairs = !this.pairs;
    this.these = null;
    this.studio.attempt(() => this.load());
  }

  show() {
    const now = this.asked[this.at];
    this.way.textContent = this.pairs ? "one at a time" : "the better of two";
    this.again.parentElement.hidden = this.pairs;
    this.showCount();
    if (!now) {
      const id = encodeURIComponent(this.id || "");
      this.stage.replaceChildren(nothing(this.id ? "Everything is rated." : "There are no pictures yet.",
        element("a", { className: "button main", href: this.id ? "#know/" + id : "#say", textContent: this.id ? "what is known" : "say what to make" })));
      this.keys.replaceChildren();
      return;
    }
    const both = Array.isArray(now) ? now : [now];
    this.stage.replaceChildren(...both.map((p, n) => this.picture(p, n, both.length)));
    this.keys.replaceChildren(...this.buttons(both.length > 1));
    for (const p of [this.asked[this.at + 1] || []].flat()) new Image().src = p.url;
  }

  showCount() {
    this.count.textContent = this.asked.length ? `${this.asked.length - this.at} of ${this.asked.length} to go` : "";
  }

  picture(p, n, many) {
    const image = element("img", { src: p.url, alt: many > 1 ? (n ? "the right one" : "the left one") : "the picture to rate", className: p.width < 256 ? "small" : "" });
    if (many < 2) return element("div", { className: "one" }, image);
    return element("button", { className: "one", ariaLabel: n ? "the right one is better" : "the left one is better", onclick: () => this.choose(n) }, image);
  }

  buttons(pair) {
    const add = (textContent, ariaLabel, onclick) => element("button", { textContent, title: ariaLabel, onclick, ...(/^[1-5]$/.test(textContent) ? { ariaLabel } : {}) });
    if (pair) {
      return [add("← left", "the left one (←)", () => this.choose(0)), add("↑ both", "both are as good (↑)", () => this.next()), add("↓ neither", "neither is good (↓)", () => this.next()), add("right →", "the right one (→)", () => this.choose(1)), add("u undo", "undo (u)", () => this.undo())];
    }
    return [...[1, 2, 3, 4, 5].map((n) => add(String(n), `rate ${n}`, () => this.rate(n))), add("x reject", "reject (x)", () => this.rate(1, { tags: ["rejected"] })), add("0 take back", "take back its rating (0)", () => this.rate(0)), add("u undo", "undo (u)", () => this.undo()), add("next ␣", "next (space)", () => this.next())];
  }

  rate(rating, more = {}) {
    const p = this.asked[this.at];
    if (!p) return;
    this.studio.ratings.give(p, rating, more);
    if (rating) {
      this.given.push(this.at);
      this.tellPast(p, rating);
      this.next();
    }
  }

  // Once it is rated, what was hidden is told.
  tellPast(p, rating) {
    const varied = Object.entries(p.varied).map(([path, value]) => `${path.split(".").pop()} ${inWords(value)}`).join(" · ");
    this.past.prepend(element("li", {}, element("img", { src: p.thumb, alt: "" }), element("strong", { textContent: String(rating) }), element("span", { textContent: varied })));
    while (this.past.children.length > SHOWN) this.past.lastChild.remove();
  }

  async choose(n) {
    const pair = this.asked[this.at];
    if (!Array.isArray(pair)) return;
    const told = await this.studio.ask("api/choices", { winner: [pair[n].run_id, pair[n].image_id], loser: [pair[1 - n].run_id, pair[1 - n].image_id] });
    if (told) { this.given.push(this.at); this.next(); }
  }

  async undo() {
    await this.studio.ratings.send();
    const told = await this.studio.ask("api/undo");
    if (!told?.undone) { if (told) this.studio.tell("there is nothing to undo"); return; }
    const { undone } = told;
    if (undone.kind === "rating") this.studio.ratings.learn([[`${undone.run_id}/${undone.image_id}`, undone.rating]]);
    this.past.firstChild?.remove();
    this.at = this.given.pop() ?? this.at;
    this.show();
  }

  next() {
    if (this.at < this.asked.length) this.at++;
    this.show();
  }

  pressed(event) {
    const tag = event.target.tagName, typing = /SELECT|TEXTAREA/.test(tag) || (tag === "INPUT" && event.target.type !== "checkbox");
    if (event.ctrlKey || event.metaKey || event.altKey || typing || !this.asked.length) return;
    const pair = Array.isArray(this.asked[this.at]), onButton = tag === "BUTTON" || tag === "A" || tag === "INPUT";
    if (event.key === "u") this.undo();
    else if (pair && event.key === "ArrowLeft") this.choose(0);
    else if (pair && event.key === "ArrowRight") this.choose(1);
    else if (pair && /^Arrow(Up|Down)$/.test(event.key)) this.next();
    else if (!pair && /^[0-5]$/.test(event.key)) this.rate(Number(event.key));
    else if (!pair && event.key === "x") this.rate(1, { tags: ["rejected"] });
    else if (event.key === " " && !onButton) this.next();
    else return;
    event.preventDefault();
  }
}
