// What a person wants made: a job, with the words of a plan file.

import { inWords } from "../shared/elements.js";

const KEPT = "stablenew-studio-job";
const STAGES = ["txt2img", "img2img", "adetailer", "upscale"];
const ASKED_ABOVE = ["prompt", "negative_prompt", "seed"];
const RANGE = /^[-\d.]+(:[-\d.]+)+$/;

export class Job {
  /** @param {any} [plain] Without one it is the job that this browser keeps. */
  constructor(plain) {
    this.isKept = !plain;
    /** @type {any} */
    this.plain = plain ? structuredClone(plain) : { images_per_step: 1 };
    if (plain) return;
    try { this.plain = JSON.parse(localStorage.getItem(KEPT) || "null") || this.plain; } catch { /* nothing kept */ }
  }

  /** @param {any} plain A whole job, for instance of a plan. */
  take(plain) {
    this.plain = structuredClone(plain);
    const images = this.plain.learning?.images_per_step;
    if (images !== undefined && this.plain.images_per_step === undefined) this.plain.images_per_step = images;
    for (const name of ASKED_ABOVE) this.raise(name);
    this.keep();
  }

  // What has a place of its own in the form is not in the table of a stage.
  raise(name) {
    const { txt2img } = this.plain;
    if (txt2img?.[name] === undefined) return;
    this.plain[name] ??= txt2img[name];
    this.set("txt2img." + name, undefined);
  }

  /** Give settings their values, in place of what was explored of them.
   * @param {Record<string, unknown>} settings By path. */
  settle(settings) {
    for (const [path, value] of Object.entries(settings)) {
      const stage = path.split(".")[0];
      if (STAGES.slice(1).includes(stage)) this.set(stage + ".enabled", true);
      this.set(path, value);
    }
    this.exploring = false;
    const { learning } = this.plain;
    if (!learning) return;
    const left = (learning.axes || []).filter((axis) => !(axis.path in settings));
    if (left.length) learning.axes = left; else for (const name of ["axes", "mode", "skip"]) delete learning[name];
    this.keep();
  }

  keep() {
    if (!this.isKept) return;
    try { localStorage.setItem(KEPT, JSON.stringify(this.plain)); } catch { /* a browser without storage */ }
  }

  // The table that a path is in, and its name there: an input of a workflow is called `3.cfg`.
  place(path) {
    const [table, name] = path.split(/\.(.*)/s);
    if (name === undefined) return ["", path];
    return STAGES.includes(table) || table === "learning" ? [table, name] : ["inputs", path];
  }

  /** @param {string} path `seed`, `txt2img.steps`, or an input of a workflow. */
  get(path) {
    const [table, name] = this.place(path);
    return table ? this.plain[table]?.[name] : this.plain[name];
  }

  /** @param {string} path @param {unknown} value undefined takes it out. */
  set(path, value) {
    const [table, name] = this.place(path), at = table ? (this.plain[table] ??= {}) : this.plain;
    if (value === undefined) delete at[name]; else at[name] = value;
    if (table && !Object.keys(at).length) delete this.plain[table];
    this.keep();
  }

  get axes() {
    return this.plain.learning?.axes || [];
  }

  /** What ratings choose from, by path: `txt2img.cfg_scale` and `1..12`.
   * @returns {Map<string, string>} */
  get explored() {
    const words = [this.plain.explore ?? []].flat().map(String);
    return new Map(words.map((word) => /** @type {[string, string]} */ (word.split(/=(.*)/s))));
  }

  set explored(words) {
    this.plain.explore = [...words].map(([path, text]) => `${path}=${text}`);
  }

  /** Whether ratings choose what is made next, of all that is explored. */
  get exploring() {
    return this.plain.explore !== undefined;
  }

  set exploring(yes) {
    if (yes === this.exploring) return;
    const before = [...(yes ? this.axes.filter((axis) => axis.path).map((axis) => axis.path) : this.explored.keys())];
    const all = before.map((path) => /** @type {[string, any[]]} */ ([path, this.chips(path)]));
    for (const path of before) this.vary(path, null);
    if (yes) this.plain.explore = []; else for (const name of ["explore", "max_pictures"]) delete this.plain[name];
    if (yes) delete this.plain.sample;
    for (const [path, chips] of all) this.vary(path, yes ? asRange(chips) : chips.flatMap((chip) => ends(chip)));
    this.keep();
  }

  /** @param {string} path */
  isVaried(path) {
    return this.explored.has(path) || this.axes.some((axis) => axis.path === path);
  }

  /** @param {string} path @param {(string | number | boolean)[] | null} chips null takes the axis out. */
  vary(path, chips) {
    if (this.exploring) {
      const words = this.explored;
      if (chips) words.set(path, chips.join(",")); else words.delete(path);
      this.explored = words;
      this.keep();
      return;
    }
    const axes = this.axes.filter((axis) => axis.path !== path || chips), learning = (this.plain.learning ??= {});
    if (chips) {
      // A range is text that the server reads; next to numbers it is one text with them.
      const ranged = chips.some((chip) => typeof chip === "string" && RANGE.test(chip));
      const values = ranged ? chips.join(",") : chips, there = axes.find((axis) => axis.path === path);
      if (there) there.values = values; else axes.push({ path, values });
    }
    learning.axes = axes;
    if (!axes.length) delete learning.axes;
    if (!Object.keys(learning).length) delete this.plain.learning;
    this.keep();
  }

  /** The choices of an axis, one for each chip. @param {string} path @returns {any[]} */
  chips(path) {
    const explored = this.explored.get(path);
    const values = explored ?? this.axes.find((axis) => axis.path === path)?.values ?? [];
    return typeof values === "string" ? values.split(",").filter(Boolean) : [...values];
  }
}

// Numbers as the range from the lowest to the highest, which is what ratings choose from.
function asRange(chips) {
  const numbers = chips.flatMap((chip) => String(chip).split(":").slice(0, 2)).map(Number);
  return numbers.length > 1 && !numbers.some(Number.isNaN) ? [`${Math.min(...numbers)}..${Math.max(...numbers)}`] : chips;
}

const ends = (chip) => (/^[-\d.]+\.\.[-\d.]+$/.test(String(chip)) ? String(chip).split("..").map(Number) : [chip]);

/** What is typed into a field, as a value of its kind; undefined for nothing.
 * @param {string} kind @param {string} text @returns {any} */
export function typed(kind, text) {
  if (text.trim() === "") return undefined;
  if (kind === "bool") return text === "true";
  if (kind !== "number" && kind !== "whole") return text;
  const number = Number(text);
  return Number.isNaN(number) ? text : number;
}

/** An axis that has no path of its own, in words. @param {any} axis */
export function axisWords(axis) {
  const [name, values] = Object.entries(axis).find(([, value]) => Array.isArray(value)) || ["axis", []];
  return `${axis.name || name}: ${values.map((value) => inWords(value?.label ?? value)).join(", ")}`;
}
