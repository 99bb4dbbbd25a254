// One setting in the form: its value, or the values that are explored, as chips.

import { choices, element, inWords } from "../shared/elements.js";
import { typed } from "./job.js";

/** @param {any} field As `api/form` has it; `label` is what it is called here.
 * @param {import("./job.js").Job} job @param {() => void} changed
 * @returns {HTMLElement} */
export function formField(field, job, changed) {
  const id = "field-" + field.path.replaceAll(/[^\w]/g, "-"), root = element("div", { className: "field", dataset: { path: field.path } });
  const draw = () => {
    const varied = job.isVaried(field.path), label = element("label", { textContent: field.label || field.name, htmlFor: id, title: field.label ? field.path : "" });
    const onclick = () => { job.vary(field.path, varied ? null : first(field, job)); draw(); changed(); root.querySelector("input, select")?.focus(); };
    const vary = element("button", { className: "vary", textContent: varied ? "one value" : "explore", ariaLabel: `${varied ? "one value of" : "explore"} ${field.path}`, ariaPressed: String(varied), onclick });
    root.classList.toggle("varied", varied);
    root.replaceChildren(label, ...(varied ? chips(field, job, id, root, draw, changed) : [input(field, job, id, changed)]),
      ...(field.sweepable ? [vary] : []), element("span", { className: "problem", role: "alert", id: id + "-problem" }));
  };
  draw();
  return root;
}

/** Say at a field what is wrong with it; "" where nothing is.
 * @param {HTMLElement} root @param {string} message */
export function markField(root, message) {
  const problem = root.querySelector(":scope > .problem"), input = root.querySelector("input, select, textarea");
  if (problem.textContent !== message) problem.textContent = message;
  if (!input) return;
  input.ariaInvalid = message ? "true" : null;
  if (message) input.setAttribute("aria-describedby", problem.id); else input.removeAttribute("aria-describedby");
}

// Ratings choose from a range: one value to begin with would be none.
const first = (field, job) => (job.exploring && field.kind !== "choice" ? [] : [job.get(field.path) ?? field.default].filter((value) => value !== null && value !== undefined && value !== ""));

function input(field, job, id, changed) {
  const value = job.get(field.path), onchange = (event) => { job.set(field.path, typed(field.kind, event.target.value)); changed(); };
  if (field.kind === "choice" || field.kind === "bool") {
    const made = element("select", { id, onchange }), some = field.kind === "bool" ? ["true", "false"] : (field.choices || []).map(String);
    made.append(...choices([["", `(${inWords(field.default ?? "the server's own")})`], ...some.map((each) => /** @type {[string, string]} */ ([each, each]))]));
    if (value !== undefined && !some.includes(String(value))) made.append(...choices([[String(value), String(value)]]));
    made.value = value === undefined ? "" : String(value);
    return made;
  }
  const hint = field.default === null || field.default === undefined ? "the server's own" : String(field.default);
  if (field.multiline) return element("textarea", { id, rows: 2, value: value ?? "", placeholder: hint, oninput: onchange, dir: "auto" });
  const limits = field.low !== null && field.high !== null && field.low !== undefined ? `${field.low} to ${field.high}` : "";
  return element("input", { id, value: value ?? "", placeholder: hint, title: limits, inputMode: field.kind === "text" ? "text" : "decimal", oninput: onchange });
}

// The numbers of a range like 4:20:4, so that one that is there already is not there twice.
function ranged(kind, text) {
  const [begin, end, by, more] = text.split(":").map(Number), count = Math.floor((end - begin) / by + 1e-9);
  if (!["number", "whole"].includes(kind) || more !== undefined || !(by && count >= 0 && count < 1000)) return [text];
  return Array.from({ length: count + 1 }, (_, n) => String(Number((begin + n * by).toFixed(9))));
}

let pressed = false;
addEventListener("pointerdown", () => { pressed = true; }, true);
for (const type of ["pointerup", "pointercancel"]) addEventListener(type, () => { pressed = false; }, true);

// Draw once the finger is up: what it presses would move away under it.
function afterPress(draw) {
  if (pressed) addEventListener("pointerup", () => setTimeout(draw), { once: true, capture: true }); else setTimeout(draw);
}

function keepingFocus(root, draw) {
  const at = root.contains(document.activeElement) && document.activeElement.ariaLabel;
  draw();
  if (at) [...root.querySelectorAll("button")].find((each) => each.ariaLabel === at)?.focus();
}

function chips(field, job, id, root, draw, changed) {
  const those = job.chips(field.path), put = (some) => { job.vary(field.path, some); draw(); changed(); };
  const list = element("span", { className: "chips" }, ...those.map((chip, n) => element("button", {
    className: "chip", textContent: `${chip === "*" ? "all" : chip} ✕`, ariaLabel: `take out ${chip}`,
    onclick: () => { put(those.filter((_, each) => each !== n)); document.getElementById(id)?.focus(); },
  })));
  const withThem = (text) => {
    const some = field.kind === "text" ? [text] : text.split(",").map((each) => each.trim());
    const further = [...new Set(some.flatMap((each) => ranged(field.kind, each)).map((each) => typed(field.kind, each)))].filter((each) => each !== undefined && !those.includes(each));
    return further.length ? [...those.filter((each) => each !== "*"), ...further] : null;
  };
  const add = (text) => {
    const some = withThem(text);
    if (some) { put(some); document.getElementById(id)?.focus(); }
  };
  const all = element("button", { textContent: "all", ariaLabel: "all of " + field.path, onclick: () => put(["*"]) });
  if (field.choices || field.kind === "bool") {
    const some = (field.choices || ["true", "false"]).map(String).filter((each) => !those.map(String).includes(each));
    const made = element("select", { id, onchange: () => add(made.value) });
    made.append(...choices([["", "add …"], ...some.map((each) => /** @type {[string, string]} */ ([each, each]))]));
    return field.choices ? [list, made, all] : [list, made];
  }
  const hint = field.kind === "text" ? "a value, Enter" : job.exploring ? "1..12, Enter" : "3, 5 or 4:20:4, Enter";
  const made = element("input", { id, placeholder: hint });
  made.onkeydown = (event) => { if (event.key === "Enter" && !event.ctrlKey) { event.preventDefault(); add(made.value); } };
  made.onchange = () => { // without Enter: who leaves goes on where they went
    const some = withThem(made.value);
    if (some) { job.vary(field.path, some); changed(); afterPress(() => keepingFocus(root, draw)); }
  };
  return [list, made];
}
