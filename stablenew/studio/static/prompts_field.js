// What the pictures show: prompts that are typed, or those of a pack.

import { choices, element } from "../shared/elements.js";
import { get, inPath } from "./server.js";

const PREVIEW = 5; // prompts of a pack that are shown
const EXAMPLE = "penguin in the snow, night";

export class PromptsField {
  /** @param {import("./job.js").Job} job @param {{ changed: () => void, draw: () => void, pick: () => void, attempt: (work: () => any) => any }} does */
  constructor(job, does) {
    this.job = job;
    this.does = does;
    /** @type {{ name: string, prompts: number, problem: string | null }[]} */
    this.packs = [];
    this.own = this.not = ""; // of a workflow
    this.prompts = element("div", { className: "prompts" });
    this.pack = element("select", { id: "pack", onchange: () => this.choosePack(this.pack.value) });
    this.pages = element("ol", { className: "faint pack" });
    const files = element("button", { textContent: "a file …", title: "a pack of prompts, a plan file, a picture, a workflow of ComfyUI: or drop it onto the page", onclick: does.pick });
    this.problem = element("span", { className: "problem", role: "alert", id: "prompt-problem" });
    this.root = element("fieldset", { dataset: { path: "prompt" } }, element("legend", { textContent: "prompt" }), this.prompts, this.problem,
      element("div", { className: "row" }, element("label", {}, "pack ", this.pack), files, element("span", { className: "faint", textContent: "or drop a pack, a plan file, a picture or a workflow onto the page" })), this.pages);
  }

  choosePack(name) {
    this.job.set("pack", name || undefined);
    if (!name) for (const each of ["prompt_index", "prompts"]) this.job.set(each, undefined);
    else if (!this.job.get("prompt_index") && !this.job.get("prompts")) this.job.set("prompt_index", 1);
    this.does.draw();
  }

  draw() {
    const given = this.job.get("prompt"), all = Array.isArray(given) ? given : [given ?? ""], packed = this.job.get("pack");
    const area = (text, n) => element("textarea", { rows: 2, value: text, ariaLabel: all.length > 1 ? `prompt ${n + 1}` : "prompt", dir: "auto", oninput: (event) => this.put(n, event.target.value) });
    const not = element("input", { value: this.job.get("negative_prompt") ?? "", ariaLabel: "negative prompt", dir: "auto", oninput: (event) => { this.job.set("negative_prompt", event.target.value || undefined); this.does.changed(); } });
    const more = element("button", { textContent: "another prompt", onclick: () => { this.job.set("prompt", [...all, ""]); this.job.set("compare_prompts", true); this.does.draw(); this.prompts.querySelectorAll("textarea")[all.length].focus(); } });
    const less = element("button", { textContent: "one less", onclick: () => this.drop(all) });
    this.prompts.replaceChildren(...all.map(area), not, element("div", { className: "row" }, more, ...(all.length > 1 ? [less] : [])));
    this.drawHints();
    this.pack.replaceChildren(...choices([["", "(none)"], ...this.packs.map(({ name, prompts, problem }) => /** @type {[string, string]} */ ([name, problem ? `${name}: ${problem}` : `${name} (${prompts})`]))]));
    if (packed && !this.packs.some(({ name }) => name === packed)) this.pack.append(...choices([[packed, packed]]));
    this.pack.value = packed || "";
    this.does.attempt(() => this.drawPack(packed));
  }

  /** What is meant where nothing is typed: a workflow has a prompt of its own.
   * @param {string} own @param {string} not */
  hint(own, not) {
    this.own = own;
    this.not = not;
    this.drawHints();
  }

  drawHints() {
    const area = this.prompts.querySelector("textarea");
    if (area) area.placeholder = this.own || (this.job.get("pack") ? "from the pack" : EXAMPLE);
    this.prompts.querySelector("input").placeholder = this.not || "what it should not show";
  }

  put(n, text) {
    const given = this.job.get("prompt"), next = Array.isArray(given) ? [...given] : [given ?? ""];
    next[n] = text;
    this.job.set("prompt", next.length > 1 ? next : text || undefined);
    this.does.changed();
  }

  drop(all) {
    const rest = all.slice(0, -1);
    this.job.set("prompt", rest.length > 1 ? rest : rest[0]);
    if (rest.length < 2) this.job.set("compare_prompts", undefined);
    this.does.draw();
  }

  async drawPack(name) {
    if (this.shown === name) return;
    this.shown = name;
    this.pages.replaceChildren();
    if (!name) return;
    const { prompts, total } = await get("api/packs/" + inPath(name), { per_page: PREVIEW });
    if (this.shown !== name) return;
    this.pages.replaceChildren(...prompts.map(({ prompt }) => element("li", { textContent: prompt, dir: "auto", title: prompt })), ...(total > prompts.length ? [element("li", { className: "more", textContent: `and ${(total - prompts.length).toLocaleString("en")} more` })] : []));
  }
}
