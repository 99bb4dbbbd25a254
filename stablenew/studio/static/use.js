// Use: a picture's settings as a plan file, as text for a WebUI, as JSON, as a workflow; or changed, beside it.

import { factList } from "../shared/compare.js";
import { element } from "../shared/elements.js";
import { save } from "./dry_run.js";
import { nothing } from "./plan_choice.js";
import { Reviser, jobOf } from "./reviser.js";
import { get, getText, inPath } from "./server.js";
import { TwoPictures, differences } from "./two_pictures.js";

const FORMS = [["infotext", "WebUI parameters", "txt", "for the prompt field of AUTOMATIC1111, Forge and SD.Next"], ["plan", "plan file", "toml", "stablenew run plan.toml"],
  ["api", "API JSON", "json", "the body of POST /sdapi/v1/txt2img"], ["comfyui", "ComfyUI workflow", "json", "drop the file onto ComfyUI"]];
const OFFERED = 24; // pictures to choose from

export class Use {
  /** @param {import("./studio.js").StudioWindow} studio */
  constructor(studio) {
    this.studio = studio;
    this.two = new TwoPictures();
    this.body = element("div", {});
    this.root = element("div", {}, this.body, this.two.dialog);
  }

  async open(run, image) {
    if (!image) return this.offer();
    this.address = `api/pictures/${inPath(run)}/${inPath(image)}`;
    this.picture = await get(this.address);
    this.reviser = new Reviser(this.studio, this.picture, (made) => this.showRevised(made));
    this.draw();
    await Promise.all([this.showForm(FORMS[0]), this.reviser.open()]);
  }

  async offer() {
    const { pictures } = await get("api/pictures", { sort: "best", per_page: OFFERED });
    const best = pictures.map((p) => element("a", { href: `#use/${inPath(p.run_id)}/${inPath(p.image_id)}`, ariaLabel: `use this picture${p.rating ? ", rated " + p.rating : ""}` },
      element("img", { src: p.thumb, alt: "" }), ...(p.rating ? [element("b", { textContent: String(p.rating) })] : [])));
    const choose = element("section", {}, element("h1", { textContent: "Use the settings of a picture" }), element("p", { className: "hint", textContent: "The best rated come first. All others are in Look back." }), element("div", { className: "strip" }, ...best));
    this.body.replaceChildren(best.length ? choose : nothing("There are no pictures yet.", element("a", { className: "button main", href: "#say", textContent: "say what to make" })));
  }

  draw() {
    const p = this.picture;
    this.text = element("textarea", { readOnly: true, rows: 10, ariaLabel: "its settings" });
    this.where = element("p", { className: "faint" });
    this.tabs = element("div", { className: "tabs", role: "group", ariaLabel: "in which form" }, ...FORMS.map((form) => element("button", { textContent: form[1], ariaPressed: "false", dataset: { form: form[0] }, onclick: () => this.studio.attempt(() => this.showForm(form)) })));
    this.copy = element("button", { textContent: "copy", onclick: async () => { await this.studio.attempt(() => navigator.clipboard.writeText(this.text.value)); this.studio.tell("copied"); } });
    this.down = element("button", { textContent: "download", onclick: () => save(`${p.run_id}-${p.image_id}.${this.form[2]}`, this.text.value) });
    const base = element("button", { textContent: "use as base", title: "open it in the form, to explore from there", className: "main", onclick: () => this.studio.attempt(() => this.asBase()) });
    const plan = p.plan_id ? [element("a", { className: "button", href: "#watch/" + encodeURIComponent(p.plan_id), textContent: "its plan" })] : [];
    this.beside = element("div", { className: "both" }, this.shown(p, "the picture"));
    this.differ = element("div", {});
    this.body.replaceChildren(element("h1", { className: "unseen", textContent: "Use a picture's settings" }), element("div", { className: "used" },
      element("section", {}, this.beside, this.differ, this.reviser.root),
      element("section", {}, element("h2", { textContent: "Take its settings elsewhere" }), this.tabs, this.where, this.text, element("div", { className: "actions" }, this.copy, this.down, base, ...plan),
        element("h2", { textContent: "What it was made with" }), factList({ rating: p.rating || "–", size: `${p.width}×${p.height}`, ...p.settings }))));
  }

  shown(p, alt) {
    return element("a", { className: "view", href: p.url, target: "_blank", title: "open it alone" }, element("img", { src: p.url, alt, className: p.width < 256 ? "small" : "" }));
  }

  async showForm(form) {
    this.form = form;
    for (const tab of this.tabs.children) tab.ariaPressed = String(tab.dataset.form === form[0]);
    const { picture } = this;
    try {
      const text = await getText(`${this.address}/as/${form[0]}`);
      if (picture !== this.picture || form !== this.form) return;
      this.text.value = text;
      this.where.textContent = form[3];
      this.text.hidden = this.copy.hidden = this.down.hidden = false;
    } catch (error) {
      this.where.textContent = /** @type {Error} */ (error).message;
      this.text.hidden = this.copy.hidden = this.down.hidden = true;
    }
  }

  async asBase() {
    this.studio.views.get("say").job.take(await jobOf(this.picture));
    this.studio.go("say");
  }

  heard(event) {
    if (event.type === "queue") this.reviser?.heard(event.items);
  }

  /** @param {any} made The revised picture. */
  showRevised(made) {
    const { picture } = this;
    this.beside.replaceChildren(this.shown(picture, "the picture"), this.shown(made, "the revised picture"));
    const slide = element("button", { textContent: "one over the other", onclick: () => this.two.show(picture, made) });
    const use = element("a", { className: "button", href: `#use/${inPath(made.run_id)}/${inPath(made.image_id)}`, textContent: "go on from the new one" });
    const head = element("tr", {}, ...["", "before", "revised"].map((textContent) => element("th", { scope: "col", textContent })));
    this.differ.replaceChildren(element("table", { className: "differences" }, head, ...differences(picture, made)), element("div", { className: "actions" }, slide, use));
  }

  close() {
    this.two.dialog.close();
  }
}
