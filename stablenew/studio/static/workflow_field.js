// A workflow of ComfyUI's: which one, the node whose picture is meant, and its inputs as a form.

import { choices, element } from "../shared/elements.js";
import { formField } from "./form_field.js";
import { get } from "./server.js";

export class WorkflowField {
  /** @param {import("./job.js").Job} job
   * @param {{ changed: () => void, draw: () => void, chosen: () => void, prompts: (own: string, not: string) => void }} does
   *   `chosen`: a workflow is meant now; `prompts`: what it says itself. */
  constructor(job, does) {
    this.job = job;
    this.does = does;
    /** @type {any[]} */
    this.workflows = [];
    this.select = element("select", { id: "workflow", ariaLabel: "workflow", onchange: () => this.choose(this.select.value) });
    this.output = element("select", { ariaLabel: "the node whose picture is meant", onchange: () => { job.set("output", this.output.value || undefined); does.draw(); } });
    this.outputs = element("label", {}, "picture of ", this.output);
    this.notes = element("div", { className: "notes" });
    this.groups = element("div", { className: "groups" });
    this.problem = element("span", { className: "problem", role: "alert", id: "workflow-problem" });
    this.root = element("fieldset", { dataset: { path: "workflow" }, hidden: true }, element("legend", { textContent: "workflow" }), element("div", { className: "row" }, this.select, this.outputs), this.problem, this.notes, this.groups);
  }

  /** @param {string} workflow What goes into the job; "" for none. */
  choose(workflow) {
    this.job.set("workflow", workflow || undefined);
    for (const name of ["output", "inputs"]) this.job.set(name, undefined);
    if (!this.job.get("prompt")) this.job.set("prompt", undefined); // its own is meant, and not none
    if (workflow) this.does.chosen(); else this.does.draw();
  }

  /** Show what there is; whether the job is one of a workflow. @param {string} server */
  async draw(server) {
    const chosen = this.job.get("workflow");
    this.root.hidden = !chosen && !this.workflows.length;
    this.select.replaceChildren(...choices([["", "(none: the stages below)"], ...this.workflows.map((each) => /** @type {[string, string]} */ ([each.workflow, each.problem ? `${each.name}: ${each.problem}` : each.name]))]));
    if (chosen && !this.workflows.some((each) => each.workflow === chosen)) this.select.append(...choices([[chosen, chosen]]));
    this.select.value = chosen || "";
    this.outputs.hidden = this.groups.hidden = this.notes.hidden = !chosen;
    if (!chosen) { this.does.prompts("", ""); return; }
    const form = await get("api/workflow-form", { workflow: chosen, server, output: this.job.get("output") });
    if (this.job.get("workflow") !== chosen) return;
    const outputs = form.outputs || [];
    this.outputs.hidden = outputs.length < 2;
    this.output.replaceChildren(...choices(outputs.map(({ id, title }) => /** @type {[string, string]} */ ([id, title || id]))));
    this.output.value = this.job.get("output") ?? form.output ?? "";
    this.notes.replaceChildren(...(form.notes || []).map((textContent) => element("p", { textContent })));
    this.groups.replaceChildren(...form.groups.map((group) => this.group(group)));
    if (!this.groups.querySelector("details[open]")) this.groups.querySelector("details:not([hidden])")?.setAttribute("open", "");
    this.does.prompts(form.prompt || "", form.negative_prompt || "");
  }

  // What the prompt, the seed and the picture are put into is not asked for twice.
  group({ name, fields }) {
    const own = fields.filter(({ role }) => !role);
    return element("details", { open: own.some(({ path }) => this.job.isVaried(path) || this.job.get(path) !== undefined), hidden: !own.length }, element("summary", { textContent: name, dir: "auto" }),
      element("div", { className: "fields" }, ...own.map((field) => formField(field, this.job, this.does.changed))));
  }
}
