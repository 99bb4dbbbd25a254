// Use: a picture's settings as a plan file, as text for a WebUI, as JSON, as a workflow; or changed, beside it.

import { factList } from "../shared/compare.js";
import { choices, element, inWords } from "../shared/elements.js";
import { save } from "./dry_run.js";
import { typed } from "./job.js";
import { nothing } from "./plan_choice.js";
import { get, getText, inPath } from "./server.js";

const FORMS = [["infotext", "WebUI parameters", "txt"], ["plan", "plan file", "toml"], ["api", "API JSON", "json"], ["comfyui", "ComfyUI workflow", "json"]];

export class Use {
  /** @param {import("./studio.js").StudioWindow} studio */
  constructor(studio) {
    this.studio = studio;
    this.root = element("div", {});
  }

  async open(run, image) {
    if (!image) {
      const { pictures } = await get("api/pictures", { sort: "best", per_page: 12 });
      const best = pictures.map((p) => element("a", { href: `#use/${inPath(p.run_id)}/${inPath(p.image_id)}`, ariaLabel: `use this picture${p.rating ? ", rated " + p.rating : ""}` }, element("img", { src: p.thumb, alt: "" })));
      const choose = element("section", {}, element("h1", { textContent: "Use the settings of a picture" }), element("div", { className: "strip" }, ...best));
      this.root.replaceChildren(best.length ? choose : nothing("There are no pictures yet.", element("a", { className: "button main", href: "#say", textContent: "say what to make" })));
      return;
    }
    this.address = `api/pictures/${inPath(run)}/${inPath(image)}`;
    this.picture = await get(this.address);
    this.revised = "";
    this.draw();
    await this.showForm(FORMS[0]);
  }

  draw() {
    const p = this.picture, img = element("img", { src: p.url, alt: "the picture", className: p.width < 256 ? "small" : "" });
    this.text = element("textarea", { readOnly: true, rows: 10, ariaLabel: "its settings" });
    this.tabs = element("div", { className: "tabs" }, ...FORMS.map((form) => element("button", { textContent: form[1], ariaPressed: "false", dataset: { form: form[0] }, onclick: () => this.studio.attempt(() => this.showForm(form)) })));
    const copy = element("button", { textContent: "copy", onclick: async () => { await this.studio.attempt(() => navigator.clipboard.writeText(this.text.value)); this.studio.tell("copied"); } });
    const down = element("button", { textContent: "download", onclick: () => save(`${p.run_id}-${p.image_id}.${this.form[2]}`, this.text.value) });
    const base = element("button", { textContent: "use as base", className: "main", onclick: () => this.studio.attempt(() => this.asBase()) });
    this.beside = element("div", { className: "view" });
    this.root.replaceChildren(element("h1", { className: "unseen", textContent: "Use a picture's settings" }), element("div", { className: "used" },
      element("section", {}, element("div", { className: "both" }, element("div", { className: "view" }, img), this.beside), this.reviser(), factList({ rating: p.rating || "–", size: `${p.width}×${p.height}`, ...p.settings })),
      element("section", {}, this.tabs, this.text, element("div", { className: "actions" }, copy, down, base))));
    this.beside.hidden = true;
  }

  async showForm(form) {
    this.form = form;
    for (const tab of this.tabs.children) tab.ariaPressed = String(tab.dataset.form === form[0]);
    try {
      this.text.value = await getText(`${this.address}/as/${form[0]}`);
    } catch (error) {
      this.text.value = /** @type {Error} */ (error).message;
    }
  }

  async job() {
    return (await get(this.address + "/as/job")).job;
  }

  async asBase() {
    this.studio.views.get("say").job.take(await this.job());
    this.studio.go("say");
  }

  // One setting changed, and that picture made beside this one.
  reviser() {
    const names = Object.entries(this.picture.settings).filter(([, value]) => ["number", "string"].includes(typeof value));
    const name = element("select", { ariaLabel: "setting to change" }), value = element("input", { ariaLabel: "its new value" });
    name.append(...choices(names.map(([each]) => [each, each])));
    const fill = () => { value.value = inWords(this.picture.settings[name.value]); };
    name.onchange = fill;
    if (names.some(([each]) => each === "cfg_scale")) name.value = "cfg_scale";
    fill();
    const onclick = () => this.studio.attempt(() => this.revise(name.value, value.value));
    return element("div", { className: "row revise" }, element("span", { textContent: "revise" }), name, value, element("button", { textContent: "make it", onclick }));
  }

  async revise(name, text) {
    const job = await this.job(), top = ["prompt", "negative_prompt", "seed"].includes(name);
    const value = typed(typeof this.picture.settings[name] === "number" ? "number" : "text", text);
    const stage = this.picture.image_id.replace(/_\d+$/, "");
    const table = top && name in job ? job : (job[stage] ??= {});
    table[name] = value;
    const item = await this.studio.ask("api/queue", { job });
    if (item) { this.revised = item.id; this.studio.tell("it is being made"); }
  }

  heard(event) {
    if (event.type === "queue" && this.revised) this.studio.attempt(() => this.showRevised(event.items.find((item) => item.id === this.revised)));
  }

  async showRevised(item) {
    if (item?.state !== "ended") return;
    this.revised = "";
    const { pictures } = await get("api/pictures", { plan: item.plan_id, per_page: 1 });
    if (!pictures.length) { this.studio.tell(item.error || "it was not made", true); return; }
    this.beside.hidden = false;
    this.beside.replaceChildren(element("img", { src: pictures[0].url, alt: "the revised picture", className: pictures[0].width < 256 ? "small" : "" }));
  }
}
