// Look back: all plans, or all pictures, searched; the best of them as a strip, and two compared with a slider.

import { element } from "../shared/elements.js";
import { key } from "../shared/pictures.js";
import { nothing } from "./plan_choice.js";
import { get, inPath } from "./server.js";
import { TwoPictures } from "./two_pictures.js";
import { PictureWindow } from "./picture_window.js";

const PLANS = 40;

export class LookBack {
  /** @param {import("./studio.js").StudioWindow} studio */
  constructor(studio) {
    this.studio = studio;
    const again = () => { clearTimeout(this.timer); this.timer = setTimeout(() => studio.attempt(() => this.search()), 250); };
    const box = (name, hint) => element("input", { placeholder: hint, ariaLabel: hint, name, type: "search", oninput: again });
    this.what = element("select", { ariaLabel: "what to look for", onchange: again }, element("option", { value: "plans", textContent: "plans" }), element("option", { value: "pictures", textContent: "pictures" }));
    this.rating = element("select", { ariaLabel: "rated at least", onchange: again }, ...["", "1", "2", "3", "4", "5"].map((value) => element("option", { value, textContent: value ? `rated ${value} or more` : "any rating" })));
    this.boxes = [box("search", "words of the prompt"), box("model", "model"), box("tag", "tag")];
    this.strip = element("section", { className: "strip", ariaLabel: "the best rated" });
    this.list = element("div", { className: "plans" });
    this.pager = element("div", { className: "row pager" });
    this.two = new TwoPictures();
    this.pictures = new PictureWindow({ chosen: (p, shift) => this.chose(p, shift), failed: (error) => studio.tell(error.message, true) });
    this.root = element("div", {}, element("h1", { className: "unseen", textContent: "Look back" }), this.strip, element("div", { className: "row searched" }, this.what, ...this.boxes, this.rating), this.list, this.pictures.root, this.pager, this.two.dialog);
    this.page = 1;
    this.pinned = null;
  }

  async open(what) {
    if (what) this.what.value = what;
    const best = (await get("api/pictures", { sort: "best", rating: 4, per_page: 24 })).pictures;
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
    this.pictures.root.hidden = !pictures;
    this.list.hidden = pictures;
    if (pictures) this.page_(await this.pictures.show(this.query, page));
    else {
      const told = await get("api/plans", { ...this.query, page, per_page: PLANS });
      this.list.replaceChildren(...told.items.map((item) => this.item(item)));
      if (!told.items.length) this.list.replaceChildren(nothing("Nothing is found."));
      this.page_(told.pages);
    }
  }

  page_(pages) {
    const to = (page, textContent) => element("button", { textContent, disabled: page < 1 || page > pages, onclick: () => this.studio.attempt(() => this.search(page)) });
    this.pager.hidden = pages < 2;
    this.pager.replaceChildren(to(this.page - 1, "← newer"), element("span", { textContent: `page ${this.page} of ${pages}` }), to(this.page + 1, "older →"));
  }

  item(item) {
    const id = encodeURIComponent(item.id), when = new Date(item.created_at).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
    const facts = [`${item.pictures} pictures`, item.rated ? `${item.rated} rated` : "", item.best ? `best ${item.best}` : "", item.model, item.state === "complete" ? "" : item.state, item.problem].filter(Boolean).join(" · ");
    const actions = [["#rate/", "rate"], ["#know/", "what is known"], ["#say/plan/", "open in the form"]].map(([to, textContent]) => element("a", { href: to + id, textContent }));
    if (item.state === "unfinished") actions.push(element("button", { textContent: "make what is missing", onclick: () => this.resume(item.id) }));
    return element("article", {}, element("div", { className: "covers" }, ...(item.covers || []).map((src) => element("img", { src, alt: "", loading: "lazy" }))),
      element("div", {}, element("h2", {}, element("a", { href: "#watch/" + id, textContent: item.title || item.id, dir: "auto" })), element("p", { textContent: item.prompt || "", dir: "auto" }), element("p", { className: "faint", textContent: `${when} · ${facts}` }), element("div", { className: "row" }, ...actions)));
  }

  async resume(id) {
    if (await this.studio.ask("api/queue", { resume: id })) this.studio.go("watch", id);
  }

  // With shift, or the key c, a picture is held against the next one that is chosen.
  chose(p, shift) {
    if (shift && !this.pinned) { this.pinned = p; this.studio.tell("choose the one to compare it with"); }
    else if (this.pinned && key(this.pinned) !== key(p)) { this.two.show(this.pinned, p); this.pinned = null; }
    else this.studio.go("use", p.run_id, p.image_id);
  }

  close() {
    this.two.dialog.close();
  }
}
