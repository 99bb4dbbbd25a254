// Say what: a form of what the server has, and beside it what would be made, as it is changed.

import { element } from "../shared/elements.js";
import { DroppedFiles } from "./dropped_files.js";
import { DryRun } from "./dry_run.js";
import { formField } from "./form_field.js";
import { Job } from "./job.js";
import { MoreAxes } from "./more_axes.js";
import { PromptsField } from "./prompts_field.js";
import { get, inPath } from "./server.js";
import { ServersField } from "./servers_field.js";
import { WorkflowField } from "./workflow_field.js";

export class Say {
  /** @param {import("./studio.js").StudioWindow} studio */
  constructor(studio) {
    this.studio = studio;
    this.job = new Job();
    this.dry = new DryRun(studio, this);
    this.dropped = new DroppedFiles(studio, this);
    const changed = () => this.changed(), draw = () => this.draw();
    this.servers = new ServersField(studio, this.job, (refresh = "") => studio.attempt(() => this.load(refresh)));
    this.prompts = new PromptsField(this.job, { changed, draw, pick: () => this.dropped.input.click(), attempt: (work) => studio.attempt(work) });
    this.more = new MoreAxes(this.job, { changed, draw });
    this.workflow = new WorkflowField(this.job, { changed, draw, chosen: () => this.chooseComfyui(), prompts: (own, not) => this.prompts.hint(own, not) });
    this.top = element("div", { className: "fields" });
    this.stages = element("div", { className: "stages" });
    const many = element("fieldset", {}, element("legend", { textContent: "how many" }), this.top, this.more.root);
    this.form = element("div", { className: "form" }, this.dropped.root, this.dropped.input, this.prompts.root, many, this.servers.root, this.workflow.root, this.stages);
    this.root = element("div", { className: "saying" }, element("h1", { className: "unseen", textContent: "Say what to make" }), this.form, this.dry.root);
  }

  async open(what, id) {
    if (what === "plan" && id) {
      const { job, errors } = await get(`api/plans/${inPath(id)}/job`);
      if (job) this.job.take(job);
      errors.forEach(({ message }) => this.studio.tell(message, true));
      history.replaceState(null, "", "#say");
    }
    await this.reload();
    this.servers.prefer();
    await this.dropped.take(this.studio.dropped.splice(0));
  }

  /** Ask again which packs and workflows there are, and what the server has. */
  async reload() {
    const [{ packs }, told] = await Promise.all([get("api/packs"), get("api/workflows").catch(() => ({ workflows: [] }))]);
    this.prompts.packs = packs;
    this.workflow.workflows = told.workflows;
    await this.load();
  }

  async load(refresh = "") {
    const asked = this.servers.ids.join();
    try {
      this.form_ = await get("api/form", { server: this.servers.ids, refresh, mix_servers: this.job.get("mix_servers") ? 1 : "" });
    } catch {
      this.form_ = null; // why is said by what would be made
    }
    if (asked === this.servers.ids.join()) this.draw();
  }

  /** Draw the form anew; who types in it goes on typing. */
  draw() {
    const at = /** @type {any} */ (document.activeElement), typing = this.form.contains(at) && at.value;
    this.drawForm();
    if (typing === false) return;
    const same = at.id ? document.getElementById(at.id) : [...this.form.querySelectorAll(at.tagName)].find((each) => each.ariaLabel === at.ariaLabel);
    if (!same) return;
    if (/INPUT|TEXTAREA/.test(at.tagName)) /** @type {any} */ (same).value = typing;
    same.focus();
  }

  drawForm() {
    this.servers.draw();
    this.prompts.draw();
    this.drawTop();
    this.more.draw(this.form_);
    const given = this.job.get("workflow");
    this.stages.replaceChildren(...(given ? [] : this.form_?.stages || []).map((stage) => this.stage(stage)));
    this.studio.attempt(() => this.workflow.draw(this.servers.id));
    this.dry.soon();
  }

  // A workflow is run by a ComfyUI: one that is known is taken.
  chooseComfyui() {
    const { servers } = this.studio.state, is = (id) => servers.find((each) => each.id === id)?.backend === "comfyui";
    const found = is(this.servers.id) ? null : servers.find((each) => each.backend === "comfyui");
    if (found) this.servers.choose(found.id); else this.draw();
  }

  drawTop() {
    const own = (label, path, kind, hint, more = {}) => formField({ name: label, label, path, kind, default: hint, low: null, high: null, sweepable: false, ...more }, this.job, () => this.changed());
    const packed = this.job.get("pack"), local = this.servers.id === "embedded";
    this.top.replaceChildren(own("pictures per step", "images_per_step", "whole", 1), own("seed", "seed", "whole", "chance"), own("name", "experiment_name", "text", "none"),
      own("at most so long", "max_time", "text", "30m, 1h30m"),
      ...(packed ? [own("prompt number", "prompt_index", "whole", 1), own("prompts of the pack", "prompts", "text", "one; all, 1-5")] : []),
      own("starting picture", "image", "text", "none"), ...(local ? [own("processes", "workers", "whole", 1)] : []));
  }

  stage(stage) {
    const path = stage.name + ".enabled", on = this.job.get(path) ?? stage.enabled;
    const box = element("input", { type: "checkbox", checked: on, ariaLabel: `${stage.name} is run`, onchange: () => { this.job.set(path, box.checked); root.open = box.checked; this.changed(); } });
    const fields = stage.fields.filter(({ name }) => name !== "enabled" && (stage.name !== "txt2img" || !["prompt", "negative_prompt", "seed"].includes(name)));
    const root = element("details", { open: on, dataset: { path: stage.name } }, element("summary", { textContent: stage.name }), element("label", { className: "run" }, box, " run it"),
      element("div", { className: "fields" }, ...fields.map((field) => formField(field, this.job, () => this.changed()))), element("span", { className: "problem", role: "alert", id: stage.name + "-problem" }));
    return root;
  }

  /** An example for whoever has none. */
  example() {
    this.job.take({ prompt: "penguin in the snow, night", images_per_step: 2, seed: 7, txt2img: { steps: 8 }, learning: { axes: [{ path: "txt2img.cfg_scale", values: [1, 3, 5, 8] }] } });
    this.studio.attempt(() => this.load());
  }

  changed() {
    this.dry.soon();
  }

  heard(event) {
    if (["hello", "servers"].includes(event.type)) this.servers.prefer();
  }

  pressed(event) {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); this.dry.start.click(); }
  }

  back() {
    this.dry.soon();
  }
}
