// Files that come onto the page: packs, plan files, pictures, workflows. The server says what each of them is.

import { element } from "../shared/elements.js";
import { upload } from "./server.js";

export class DroppedFiles {
  /** @param {import("./studio.js").StudioWindow} studio @param {import("./say.js").Say} say */
  constructor(studio, say) {
    this.studio = studio;
    this.say = say;
    this.input = element("input", { type: "file", multiple: true, hidden: true, ariaLabel: "files", onchange: () => this.take(this.input.files) });
    this.root = element("div", { className: "arrived", role: "status", hidden: true });
    this.veil = element("div", { className: "veil", hidden: true, textContent: "Drop it: a pack of prompts, a plan file, a picture, a workflow" });
    document.body.append(this.veil);
    addEventListener("dragover", (event) => { if (event.dataTransfer?.types.includes("Files")) this.veil.hidden = false; });
    addEventListener("dragleave", (event) => { if (!event.relatedTarget) this.veil.hidden = true; });
    addEventListener("drop", () => { this.veil.hidden = true; });
  }

  /** @param {Iterable<File>} files */
  async take(files) {
    for (const file of [...files]) await this.studio.attempt(() => this.takeOne(file));
    this.input.value = "";
  }

  async takeOne(file) {
    const told = await upload("api/files", file);
    const { job } = this.say;
    if (told.kind === "plan") this.takePlan(file.name, told);
    else if (told.kind === "pack") {
      job.set("pack", told.name);
      job.set("prompt", undefined);
      if (told.prompts > 1) job.set("prompts", "all");
      this.tell(`${file.name}: a pack of ${told.prompts} ${told.prompts === 1 ? "prompt" : "prompts"}`);
    } else if (told.kind === "workflow") this.takeWorkflow(file.name, told.workflow);
    else this.takePicture(file.name, told);
    await this.say.reload();
  }

  takePlan(name, { job, errors }) {
    if (job) this.say.job.take(job);
    const lines = errors.map(({ field, message }) => (field ? `${field}: ${message}` : message));
    this.tell(`${name}: a plan file`, lines);
  }

  takeWorkflow(name, workflow) {
    this.say.workflow.choose(workflow);
    this.tell(`${name}: a workflow of ComfyUI`);
  }

  // A picture is something to start from; what it was made with may be what is wanted.
  takePicture(name, told) {
    const { job } = this.say, start = () => { job.set("image", told.image); if (!job.get("img2img.enabled")) { job.set("img2img.enabled", true); job.set("txt2img.enabled", false); } };
    const add = (textContent, work) => element("button", { textContent, onclick: () => { work(); this.root.hidden = true; this.say.draw(); } });
    const others = [
      ...(told.job ? [add("use its settings", () => job.take(told.job))] : []),
      ...(told.workflow ? [add("use its workflow", () => this.takeWorkflow(name, told.workflow))] : []),
    ];
    if (!others.length) start();
    this.tell(`${name}: a picture`, [], [element("img", { src: told.url, alt: "", className: "start" }), ...(others.length ? [add("start from it", start), ...others] : [])]);
  }

  tell(text, lines = [], more = []) {
    const close = element("button", { textContent: "✕", ariaLabel: "close this", onclick: () => { this.root.hidden = true; } });
    this.root.replaceChildren(element("strong", { textContent: text, dir: "auto" }), ...more, ...(lines.length ? [element("ul", { className: "problems" }, ...lines.map((textContent) => element("li", { textContent })))] : []), close);
    this.root.hidden = false;
  }
}
