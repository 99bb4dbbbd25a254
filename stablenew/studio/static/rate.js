// Rate: one key a picture, or the better of two; what was varied is hidden until then, and the order is chance's.

import { element, inWords } from "../shared/elements.js";
import { key } from "../shared/pictures.js";
import { PlanChoice, nothing } from "./plan_choice.js";
import { RatingQueue } from "./rating_queue.js";
import { onSwipe } from "./swipe.js";

const SHOWN = 6; // of those just rated
const SOON = 300; // milliseconds that what was made is gathered before it joins
const WAYS = /** @type {const} */ ([["one", "one at a time"], ["seed", "side by side"], ["two", "the better of two"]]);
const TOLD = { one: "one picture after the other", seed: "the pictures of one seed next to each other", two: "the better one of two that differ in a value" };

export class Rate {
  /** @param {import("./studio.js").StudioWindow} studio */
  constructor(studio) {
    this.studio = studio;
    this.choice = new PlanChoice(studio, "rate");
    /** @type {import("./rating_queue.js").Way} */
    this.way = "one";
    this.ways = element("div", { className: "tabs", role: "group", ariaLabel: "how to ask" }, ...WAYS.map(([way, textContent]) => element("button", { textContent, title: TOLD[way], dataset: { way }, onclick: () => this.turn(way) })));
    this.again = element("input", { type: "checkbox", onchange: () => studio.attempt(() => this.load()) });
    this.count = element("span", { className: "count", role: "status" });
    this.bar = element("progress", { max: 1, value: 0, ariaLabel: "how many are rated", className: "asked-bar" });
    this.stage = element("div", { className: "asked" });
    this.keys = element("div", { className: "keys" });
    this.past = element("ol", { className: "past", ariaLabel: "just rated" });
    const bar = element("div", { className: "chosen" }, this.choice.root, this.ways, element("label", {}, this.again, " rated ones again"), this.count);
    this.root = element("div", {}, element("h1", { className: "unseen", textContent: "Rate" }), bar, this.bar, this.stage, this.keys, this.past);
    this.queue = new RatingQueue();
    this.marked = 0; // of several that are side by side
    /** Those of the ones side by side that were rated now. @type {Set<string>} */
    this.fresh = new Set();
    onSwipe(this.stage, (way) => this.swiped(way));
  }

  async open(id) {
    this.these = id === "these" ? this.studio.toRate : null;
    this.isOpening = true; // who turns to another way meanwhile is asked that way, once
    this.id = await this.choice.choose(id === "these" ? "" : id).finally(() => { this.isOpening = false; });
    this.past.replaceChildren();
    await this.load();
  }

  async load() {
    const queue = new RatingQueue();
    this.queue = queue; // what is asked about now is not what was asked about before
    this.count.textContent = "";
    if (this.these) queue.take(this.these, this.way === "two" ? "one" : this.way);
    else if (this.id) await queue.load(this.id, this.way, this.again.checked);
    if (queue !== this.queue) return;
    this.studio.ratings.learn(this.queue.asked.flat().map((p) => [key(p), p.rating]));
    this.show();
  }

  /** @param {import("./rating_queue.js").Way} way */
  turn(way) {
    this.way = way;
    if (way === "two") this.these = null;
    if (!this.isOpening) this.studio.attempt(() => this.load());
  }

  show() {
    const { now } = this.queue, several = (now?.length || 0) > 1;
    for (const tab of this.ways.children) tab.ariaPressed = String(tab.dataset.way === this.way);
    this.again.parentElement.hidden = this.way === "two" || !this.id;
    this.ways.hidden = !this.id && !this.these;
    this.showCount();
    this.marked = 0;
    this.fresh.clear();
    this.stage.className = "asked " + (now ? this.way : "");
    if (!now) return this.showNothing();
    this.stage.style.setProperty("--across", String(now.length > 3 ? Math.ceil(now.length / 2) : now.length));
    this.stage.style.setProperty("--down", String(now.length > 3 ? 2 : 1));
    this.stage.replaceChildren(...now.map((p, n) => this.picture(p, n)));
    this.mark(Math.max(0, now.findIndex((p) => !this.studio.ratings.of(p))));
    this.keys.replaceChildren(...this.buttons(several));
    for (const p of this.queue.asked[this.queue.at + 1] || []) new Image().src = p.url;
  }

  showCount() {
    const { asked, at, left } = this.queue;
    this.count.textContent = asked.length ? `${left} of ${asked.length} to go` : "";
    this.bar.hidden = !asked.length;
    this.bar.max = asked.length || 1;
    this.bar.value = at;
  }

  showNothing() {
    const id = encodeURIComponent(this.id || ""), running = this.studio.running?.plan_id === this.id;
    const words = !this.id ? "There are no pictures yet." : this.way === "two" && !this.queue.asked.length ? "There are no two that are still to be compared." : "Everything is rated.";
    const hint = this.id && running ? [element("p", { className: "hint", textContent: "What is being made comes here as soon as it is there." })] : [];
    const main = this.id ? element("a", { className: "button main", href: "#know/" + id, textContent: "what is known" }) : element("a", { className: "button main", href: "#say", textContent: "say what to make" });
    this.stage.replaceChildren(nothing(words, ...hint, main));
    this.keys.replaceChildren();
  }

  picture(p, n) {
    const many = this.queue.now.length > 1, pair = this.way === "two";
    const image = element("img", { src: p.url, alt: pair ? (n ? "the right one" : "the left one") : many ? `picture ${n + 1}` : "the picture to rate", className: p.width < 256 ? "small" : "", draggable: false });
    if (!many) return element("div", { className: "one" }, image);
    const choose = pair ? () => this.choose(n) : () => this.mark(n);
    return element("button", { className: "one", ariaLabel: pair ? (n ? "the right one is better" : "the left one is better") : `picture ${n + 1}`, onclick: choose }, image);
  }

  // The one of several that the next key rates.
  mark(n) {
    this.marked = n;
    if (this.way !== "seed" || this.queue.now.length < 2) return;
    [...this.stage.children].forEach((each, m) => {
      const rating = this.studio.ratings.of(this.queue.now[m]);
      each.ariaPressed = String(m === n);
      each.querySelector("b")?.remove();
      if (rating) each.append(element("b", { textContent: String(rating) }));
    });
  }

  buttons(several) {
    const add = (textContent, ariaLabel, onclick, className = "") => element("button", { textContent, title: ariaLabel, onclick, className, ...(/^[1-5]$/.test(textContent) ? { ariaLabel } : {}) });
    const undo = add("u undo", "undo (u)", () => this.undo());
    if (this.way === "two" && several) {
      return [add("← left", "the left one (←)", () => this.choose(0)), add("↑ both", "both are as good (↑)", () => this.next()), add("↓ neither", "neither is good (↓)", () => this.next()), add("right →", "the right one (→)", () => this.choose(1)), undo];
    }
    return [...[1, 2, 3, 4, 5].map((n) => add(String(n), `rate ${n}`, () => this.rate(n), "number")), add("x reject", "reject (x)", () => this.reject()), add("0 take back", "take back its rating (0)", () => this.rate(0)), undo, add("next ␣", "next (space)", () => this.next())];
  }

  reject() {
    this.rate(1, { tags: ["rejected"] });
  }

  rate(rating, more = {}) {
    const { now } = this.queue, p = now?.[this.marked];
    if (!p) return;
    this.studio.ratings.give(p, rating, more);
    if (!rating) { this.mark(this.marked); return; }
    this.queue.given.push(this.queue.at);
    this.mark(this.marked);
    this.fresh.add(key(p));
    const missing = now.findIndex((each) => (this.again.checked ? !this.fresh.has(key(each)) : !this.studio.ratings.of(each)));
    if (missing >= 0) { this.mark(missing); return; }
    for (const each of now) this.tellPast(each, this.studio.ratings.of(each));
    this.next();
  }

  // Once it is rated, what was hidden is told.
  tellPast(p, rating) {
    const varied = Object.entries(p.varied).map(([path, value]) => `${path.split(".").pop()} ${inWords(value)}`).join(" · ");
    this.past.prepend(element("li", {}, element("img", { src: p.thumb, alt: "" }), element("strong", { textContent: String(rating) }), element("span", { textContent: varied })));
    while (this.past.children.length > SHOWN) this.past.lastChild.remove();
  }

  async choose(n) {
    const pair = this.queue.now;
    if (this.way !== "two" || !pair) return;
    const told = await this.studio.ask("api/choices", { winner: [pair[n].run_id, pair[n].image_id], loser: [pair[1 - n].run_id, pair[1 - n].image_id] });
    if (told) { this.queue.given.push(this.queue.at); this.next(); }
  }

  async undo() {
    await this.studio.ratings.send();
    const told = await this.studio.ask("api/undo");
    if (!told?.undone) { if (told) this.studio.tell("there is nothing to undo"); return; }
    const { undone } = told;
    if (undone.kind === "rating") this.studio.ratings.learn([[`${undone.run_id}/${undone.image_id}`, undone.rating]]);
    const at = this.queue.given.pop() ?? this.queue.at;
    if (at < this.queue.at) for (const _ of this.queue.asked[at]) this.past.firstChild?.remove();
    this.queue.at = at;
    this.show();
  }

  next() {
    if (this.queue.left) this.queue.at++;
    this.show();
  }

  swiped(way) {
    if (!this.queue.now) return;
    if (this.way !== "two") { if (way === "left") this.next(); else if (way === "right" && this.queue.at) { this.queue.at--; this.show(); } return; }
    if (way === "left" || way === "right") this.choose(way === "left" ? 0 : 1); else this.next();
  }

  // What a plan makes while somebody rates comes behind what is asked already.
  heard(event) {
    const ours = [event.plan_id, event.run_id].includes(this.id) && !this.these;
    if (!ours || this.timer || !["StepFinished", "RunFinished", "PlanFinished", "RatingsAwaited"].includes(event.type)) return;
    this.timer = setTimeout(() => { this.timer = 0; this.studio.attempt(() => this.more()); }, SOON);
  }

  async more() {
    const { queue } = this, waited = !queue.now;
    await queue.extend(this.id, this.way, this.again.checked);
    if (queue !== this.queue) return;
    if (waited) this.show(); else this.showCount();
  }

  pressed(event) {
    const tag = event.target.tagName, typing = /SELECT|TEXTAREA/.test(tag) || (tag === "INPUT" && event.target.type !== "checkbox");
    if (event.ctrlKey || event.metaKey || event.altKey || typing || !this.queue.asked.length) return;
    const pair = this.way === "two", onButton = tag === "BUTTON" || tag === "A" || tag === "INPUT", many = this.queue.now?.length || 0;
    if (event.key === "u") this.undo();
    else if (pair && event.key === "ArrowLeft") this.choose(0);
    else if (pair && event.key === "ArrowRight") this.choose(1);
    else if (pair && /^Arrow(Up|Down)$/.test(event.key)) this.next();
    else if (many > 1 && /^Arrow(Left|Right)$/.test(event.key)) this.mark((this.marked + (event.key === "ArrowLeft" ? many - 1 : 1)) % many);
    else if (!pair && /^[0-5]$/.test(event.key)) this.rate(Number(event.key));
    else if (!pair && event.key === "x") this.reject();
    else if (event.key === " " && !onButton) this.next();
    else return;
    event.preventDefault();
  }
}
