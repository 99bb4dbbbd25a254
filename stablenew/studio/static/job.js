// What a person wants made: a job, with the words of a plan file.

import { inWords } from "../shared/elements.js";

const KEPT = "stablenew-studio-job";

export class Job {
  /** @param {any} [plain] Without one it is the job that this browser keeps. */
  constructor(plain) {
    this.isKept = !plain;
    /** @type {any} */
    this.plain = plain ? structuredClone(plain) : { prompt: "", images_per_step: 1 };
    if (plain) return;
    try { this.plain = JSON.parse(localStorage.getItem(KEPT) || "null") || this.plain; } catch { /* nothing kept */ }
  }

  /** @param {any} plain A whole job, for instance of a plan. */
  take(plain) {
    this.plain = structuredClone(plain);
    const images = this.plain.learning?.images_per_step;
    if (images !== undefined && this.plain.images_per_step === undefined) this.plain.images_per_step = images;
    this.keep();
  }

  /** Give settings their values, in place of what was explored of them.
   * @param {Record<string, unknown>} settings By path. */
  settle(settings) {
    for (const [path, value] of Object.entries(settings)) {
      const stage = path.split(".")[0];
      if (stage !== "txt2img" && path.includes(".")) this.set(stage + ".enabled", true);
      this.set(path, value);
    }
    const { learning } = this.plain;
    if (!learning) return;
    const left = (learning.axes || []).filter((axis) => !(axis.path in settings));
    if (left.length) learning.axes = left; else for (const name of ["axes", "mode", "skip"]) delete learning[name];
    delete this.plain.explore;
    delete this.plain.max_pictures;
    this.keep();
  }

  keep() {
    if (!this.isKept) return;
    try { localStorage.setItem(KEPT, JSON.stringify(this.plain)); } catch { /* a browser without storage */ }
  }

  /** @param {string} path `seed` or `txt2img.steps`. */
  get(path) {
    return path.split(".").reduce((at, name) => at?.[name], this.plain);
  }

  /** @param {string} path @param {unknown} value undefined takes it out. */
  set(path, value) {
    const [table, name] = path.includes(".") ? path.split(".") : ["", path];
    const at = table ? (this.plain[table] ??= {}) : this.plain;
    if (value === undefined) delete at[name]; else at[name] = value;
    if (table && !Object.keys(at).length) delete this.plain[table];
    this.keep();
  }

  get axes() {
    return this.plain.learning?.axes || [];
  }

  /** @param {string} path */
  axis(path) {
    return this.axes.find((axis) => axis.path === path);
  }

  /** @param {string} path @param {(string | number | boolean)[] | null} chips null takes the axis out. */
  vary(path, chips) {
    const axes = this.axes.filter((axis) => axis.path !== path || chips), learning = (this.plain.learning ??= {});
    if (chips) {
      // A range is text that the server reads; next to numbers it is one text with them.
      const ranged = chips.some((chip) => typeof chip === "string" && /^[-\d.]+(:[-\d.]+)+$/.test(chip));
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
    const values = this.axis(path)?.values ?? [];
    return typeof values === "string" ? values.split(",").filter(Boolean) : [...values];
  }
}

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
