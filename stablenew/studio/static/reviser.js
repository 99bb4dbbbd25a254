// A picture's settings, changed one or a few at a time, and that picture made beside it.

import { choices, element } from "../shared/elements.js";
import { formField } from "./form_field.js";
import { Job } from "./job.js";
import { get, inPath } from "./server.js";

const FIRST = ["cfg_scale", "steps", "sampler_name", "prompt", "seed"]; // what is changed most often comes first

export class Reviser {
  /** @param {import("./studio.js").StudioWindow} studio @param {any} picture
   * @param {(made: any) => void} done Told of the new picture. */
  constructor(studio, picture, done) {
    this.studio = studio;
    this.picture = picture;
    this.done = done;
    this.add = element("select", { ariaLabel: "setting to change", onchange: () => this.change(this.add.value) });
    this.fields = element("div", { className: "fields" });
    this.make = element("button", { className: "main", textContent: "make it", disabled: true, onclick: () => studio.attempt(() => this.begin()) });
    this.told = element("span", { className: "faint", role: "status" });
    this.root = element("form", { className: "revise", ariaLabel: "revise", onsubmit: (event) => { event.preventDefault(); this.make.click(); } },
      element("div", { className: "row" }, element("strong", { textContent: "revise" }), this.add), this.fields, element("div", { className: "row" }, this.make, this.told));
  }

  async open() {
    const { picture } = this;
    const job = this.job = new Job(await jobOf(picture));
    this.before = JSON.stringify(job.plain);
    const form = await get("api/form", { server: job.get("urls")?.[0] || job.get("url") || job.get("backend") || "embedded" }).catch(() => null);
    const stages = form?.stages || Object.keys(job.plain).filter((name) => typeof job.plain[name] === "object").map((name) => ({ name, fields: plainFields(name, job.plain[name]) }));
    const of = (stage) => picture.image_id.startsWith(stage + "_") ? 0 : 1;
    this.known = new Map(stages.filter((stage) => job.plain[stage.name]).sort((a, b) => of(a.name) - of(b.name))
      .flatMap((stage) => stage.fields.filter(({ name }) => name !== "enabled").map((field) => [field.path, { ...field, sweepable: false }])));
    const order = (path) => { const at = FIRST.indexOf(path.split(".")[1]); return at < 0 ? FIRST.length : at; };
    const paths = [...this.known.keys()].sort((a, b) => order(a) - order(b));
    const several = new Set(paths.map((path) => path.split(".")[0])).size > 1;
    this.add.replaceChildren(...choices([["", "change a setting …"], ...paths.map((path) => /** @type {[string, string]} */ ([path, several ? path : path.split(".")[1]]))]));
    this.change(paths.find((path) => path.endsWith(".cfg_scale")) || paths[0]);
  }

  change(path) {
    const field = this.known.get(path);
    this.add.value = "";
    if (!field || this.fields.querySelector(`[data-path="${CSS.escape(path)}"]`)) return;
    const made = formField(field, this.job, () => { this.make.disabled = JSON.stringify(this.job.plain) === this.before; });
    this.fields.append(made);
    if (this.fields.children.length > 1) /** @type {HTMLElement | null} */ (made.querySelector("input, select, textarea"))?.focus();
  }

  async begin() {
    const item = await this.studio.ask("api/queue", { job: { ...this.job.plain, images_per_step: 1 } });
    if (!item) return;
    this.item = item.id;
    this.told.textContent = "it is being made …";
    this.make.disabled = true;
    this.heard(this.studio.state.queue);
  }

  /** @param {any[]} items Of the queue, as they are now. */
  heard(items) {
    const item = this.item && items.find((each) => each.id === this.item);
    if (item?.state !== "ended") return;
    this.item = "";
    this.studio.attempt(() => this.show(item));
  }

  async show(item) {
    const { pictures } = await get("api/pictures", { plan: item.plan_id, per_page: 1 });
    this.make.disabled = false;
    this.told.textContent = pictures.length ? "" : item.error || "it was not made";
    if (pictures.length) this.done(pictures[0]);
  }
}

/** The job that makes a picture once more, on the server that made it, as far as that is known.
 * @param {any} picture */
export async function jobOf(picture) {
  const { job } = await get(`api/pictures/${inPath(picture.run_id)}/${inPath(picture.image_id)}/as/job`);
  if (job.url || job.urls || job.backend || !picture.plan_id) return job;
  const plan = (await get(`api/plans/${inPath(picture.plan_id)}/job`).catch(() => null))?.job;
  return { ...Object.fromEntries(["url", "urls", "backend"].filter((name) => plan?.[name]).map((name) => [name, plan[name]])), ...job };
}

// Where the server does not answer: what the picture was made with can be changed all the same.
function plainFields(stage, settings) {
  return Object.entries(settings).filter(([, value]) => ["number", "string"].includes(typeof value)).map(([name, value]) => (
    { path: `${stage}.${name}`, name, kind: typeof value === "number" ? "number" : "text", default: null, low: null, high: null, choices: null, multiline: /prompt$/.test(name) }));
}
