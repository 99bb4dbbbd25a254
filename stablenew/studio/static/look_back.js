// Look back: all plans, or all pictures, searched; the best of them as a strip, and two compared with a slider.

import { element } from "../shared/elements.js";
import { key } from "../shared/pictures.js";
import { planCard } from "./plan_card.js";
import { nothing } from "./plan_choice.js";
import { get, inPath } from "./server.js";
import { TwoPictures } from "./two_pictures.js";
import { PictureWindow } from "./picture_window.js";

const PLANS = 40;
const QUIET = 250; // milliseconds without a change until it is searched
const BEST = 24; // of the strip

const selected = (ariaLabel, options, onchange) => element("select", { ariaLabel, onchange }, ...options.map(([value, textContent]) => element("option", { value, textContent })));

export class LookBack {
  /** @param {import("./studio.js").StudioWindow} studio */
  constructor(studio) {
    this.studio = studio;
    const again = () => { clearTimeout(this.timer); this.timer = setTimeout(() => studio.attempt(() => this.search()), QUIET); };
    const box = (name, hint) => element("input", { placeholder: hint, ariaLabel: hint, name, type: "search", oninput: again });
    this.what = selected("what to look for", [["plans", "plans"], ["pictures", "pictures"]], again);
    this.rating = selected("rated at least", [["", "any rating"], ...["1", "2", "3", "4", "5"].map((value) => [value, `rated ${value} or more`])], again);
    this.sort = selected("order", [["new", "newest first"], ["best", "best first"]], again);
    this.boxes = [box("search", "words of the prompt"), box("model", "model"), box("tag", "tag")];
    this.comparing = element("button", { textContent: "compare two", ariaPressed: "false", title: "choose two pictures; or c on the first, and choose the second", onclick: () => this.compare(!this.isComparing) });
    this.strip = element("section", { className: "strip", ariaLabel: "the best rated", tabIndex: 0 });
    this.found = element("p", { className: "faint", role: "status" });
    this.list = element("div", { className: "plans" });
    this.pager = element("div", { className: "row pager" });
    this.two = new TwoPictures();
    this.pictures = new PictureWindow({ chosen: (p, pinning) => this.chose(p, pinning), failed: (error) => studio.tell(error.message, true) });
    const searched = element("search", { className: "row searched" }, this.what, ...this.boxes, this.rating, this.sort, this.comparing);
    this.root = element("div", {}, element("h1", { className: "unseen", textContent: "Look back" }), this.strip, searched, this.found, this.list, this.pictures.root, this.pager, this.two.dialog);
    this.page = 1;
    /** The first of two that are compared. @type {any} */
    this.pinned = null;
    this.isComparing = false;
  }

  async open(what) {
    if (what) this.what.value = what;
    const best = (await get("api/pictures", { sort: "best", rating: 4, per_page: BEST })).pictures;
    this.strip.hidden = !best.length;
    this.strip.replaceChildren(...best.map((p) => element("a", { href: `#use/${inPath(p.run_id)}/${inPath(p.image_id)}`, ariaLabel: `use the picture rated ${p.rating}` }, element("img", { src: p.thumb, alt: "" }), element("b", { textContent: String(p.rating) }))));
    await this.search(this.page);
  }

  get query() {
    return { ...Object.fromEntries(this.boxes.map(({ name, value }) => [name, value])), rating: this.rating.value };
  }

  async search(page = 1) {
    this.page = page;
    const pictures = this.what.value === "pictures";
    this.pictures.root.hidden = this.sort.hidden = this.comparing.hidden = !pictures;
    this.list.hidden = pictures;
    const told = pictures ? await this.pictures.show({ ...this.query, sort: this.sort.value }, page) : await get("api/plans", { ...this.query, page, per_page: PLANS });
    if (!told || (this.what.value === "pictures") !== pictures) return;
    const total = told.total.toLocaleString("en"), name = pictures ? "picture" : "plan";
    this.found.textContent = [`${total} ${told.total === 1 ? name : name + "s"}`, told.indexing ? `the folder is being read: ${told.indexing.done} of ${told.indexing.of}` : ""].filter(Boolean).join(" · ");
    if (!pictures) this.list.replaceChildren(...told.items.map((item) => planCard(item, (id) => this.resume(id))));
    if (!told.total) this.showNothing(pictures);
    this.showPager(told.pages);
  }

  showNothing(pictures) {
    const asked = Object.values(this.query).some(Boolean);
    const made = asked ? nothing("Nothing is found.", element("button", { textContent: "show all", onclick: () => this.clear() }))
      : nothing("Nothing has been made yet.", element("a", { className: "button main", href: "#say", textContent: "say what to make" }));
    this.list.hidden = false;
    this.pictures.root.hidden = this.pictures.root.hidden || pictures;
    this.list.replaceChildren(made);
  }

  clear() {
    for (const each of [...this.boxes, this.rating]) each.value = "";
    this.studio.attempt(() => this.search());
  }

  showPager(pages) {
    const to = (page, textContent) => element("button", { textContent, disabled: page < 1 || page > pages, onclick: () => this.studio.attempt(() => this.search(page)) });
    this.pager.hidden = pages < 2;
    this.pager.replaceChildren(to(this.page - 1, "← before"), element("span", { textContent: `page ${this.page} of ${pages}` }), to(this.page + 1, "next →"));
  }

  async resume(id) {
    const item = await this.studio.ask("api/queue", { resume: id });
    if (item) this.studio.follow({ ...item, plan_id: item.plan_id || id });
  }

  compare(yes) {
    this.isComparing = yes;
    this.pin(null);
    this.comparing.ariaPressed = String(yes);
    this.comparing.textContent = yes ? "choose two pictures …" : "compare two";
  }

  pin(p) {
    this.pinned = p;
    this.pictures.pin(p ? key(p) : "");
  }

  // With the key c, with shift or while two are compared, a picture is held against the next one that is chosen.
  chose(p, pinning) {
    if (this.pinned && key(this.pinned) !== key(p)) {
      this.two.show(this.pinned, p);
      this.compare(false);
    } else if (pinning || this.isComparing) this.pin(this.pinned ? null : p);
    else this.studio.go("use", p.run_id, p.image_id);
  }

  heard(event) {
    if (event.type === "library") this.studio.attempt(() => this.search(this.page));
  }

  close() {
    this.two.dialog.close();
  }
}
