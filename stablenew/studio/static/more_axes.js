// What can be explored besides the settings of a stage: sizes, LoRAs, words of the prompt; and who chooses.

import { choices, element } from "../shared/elements.js";
import { formField } from "./form_field.js";
import { axisWords } from "./job.js";

const WAYS = /** @type {[string, string][]} */ ([["all", "make every combination"], ["sample", "make a part of them, evenly spread"], ["explore", "let my ratings choose what is made next"]]);

const MOST_WORDS = 30; // of the prompt that are offered
const isOther = (path) => Boolean(path) && (path.endsWith(".size") || /^(lora|replace)\./.test(path));

export class MoreAxes {
  /** @param {import("./job.js").Job} job @param {{ changed: () => void, draw: () => void }} does */
  constructor(job, does) {
    this.job = job;
    this.does = does;
    this.way = element("select", { id: "way", ariaLabel: "of what is explored", onchange: () => this.choose(this.way.value) });
    this.way.append(...choices(WAYS));
    this.number = element("span");
    this.add = element("select", { id: "more", ariaLabel: "explore something else", onchange: () => this.vary(this.add.value), onfocus: () => this.drawOffered() });
    this.fields = element("div", { className: "fields" });
    this.other = element("div", { className: "chips" });
    this.root = element("div", { className: "axes" }, element("div", { className: "row" }, element("label", {}, "of what is explored ", this.way), this.number, this.add), this.fields, this.other);
  }

  /** @param {any} form As `api/form` has it; null where the server does not answer. */
  draw(form) {
    this.form = form;
    const { job } = this, sizes = form?.sizes?.length > 1 ? form.sizes : [], loras = form?.loras || [];
    const shown = [...job.explored.keys(), ...job.axes.map((axis) => axis.path)].filter((path) => path && isOther(path));
    this.way.value = job.exploring ? "explore" : job.get("sample") === undefined ? "all" : "sample";
    this.drawNumber();
    this.offered = () => [...(sizes.length ? [["txt2img.size", "sizes"]] : []), ...this.words().map((word) => ["replace." + word, `“${word}” in the prompt`]), ...loras.map((name) => ["lora." + name, "LoRA " + name])].filter(([path]) => !shown.includes(path));
    this.drawOffered();
    const fields = shown.map((path) => formField(this.fieldOf(path, sizes), job, () => { if (!job.isVaried(path)) this.does.draw(); else this.does.changed(); }));
    this.fields.replaceChildren(...fields);
    const nameless = job.axes.filter((axis) => !axis.path);
    this.other.replaceChildren(...nameless.map((axis) => element("button", { className: "chip", textContent: axisWords(axis) + " ✕", onclick: () => this.drop(axis) })));
  }

  drawOffered() {
    this.add.replaceChildren(...choices([["", "explore something else …"], .../** @type {[string, string][]} */ (this.offered())]));
  }

  fieldOf(path, sizes) {
    const plain = { path, name: path.replace("txt2img.", ""), low: null, high: null, default: null, sweepable: true };
    if (path.endsWith(".size")) return { ...plain, kind: "choice", choices: sizes.map(([wide, high]) => `${wide}x${high}`) };
    if (path.startsWith("replace.")) return { ...plain, label: `“${path.slice("replace.".length)}” in the prompt`, kind: "text", choices: null };
    return { ...plain, kind: "number", choices: null };
  }

  drawNumber() {
    const own = (path, name, hint) => formField({ path, name, kind: "whole", default: hint, low: null, high: null, sweepable: false }, this.job, this.does.changed);
    const { value } = this.way;
    this.number.replaceChildren(...(value === "sample" ? [own("sample", "at most, of all combinations", "all")] : value === "explore" ? [own("max_pictures", "pictures at the most", 24)] : []));
  }

  choose(way) {
    this.job.exploring = way === "explore";
    if (way === "sample") this.job.set("sample", this.job.get("sample") ?? 12);
    else this.job.set("sample", undefined);
    this.does.draw();
  }

  // The words in whose place others can stand.
  words() {
    const prompt = [this.job.get("prompt") ?? ""].flat().join(" ");
    return [...new Set(prompt.split(/[^\p{L}\p{N}]+/u).filter((word) => word.length > 2))].slice(0, MOST_WORDS);
  }

  vary(path) {
    const sizes = (this.form?.sizes || []).slice(0, 2).map((size) => size.join("x"));
    if (path.startsWith("replace.")) this.job.vary(path, [path.slice("replace.".length)]);
    else if (path) this.job.vary(path, path.endsWith(".size") ? sizes : this.job.exploring ? ["0..1"] : [0, 0.5, 1]);
    this.does.draw();
    this.fields.querySelector(`[data-path="${CSS.escape(path)}"] input`)?.focus();
  }

  drop(axis) {
    const learning = this.job.plain.learning;
    learning.axes = this.job.axes.filter((each) => each !== axis);
    if (!learning.axes.length) delete learning.axes;
    this.job.keep();
    this.does.draw();
  }
}
