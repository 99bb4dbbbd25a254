// A plan or a single run in the list: what it shows, how far it is, and where to go on with it.

import { element } from "../shared/elements.js";

const STATES = { unfinished: "not finished", running: "running", elsewhere: "run by another StableNew", broken: "cannot be read" };

/** @param {any} item As `api/plans` has it. @param {(id: string) => void} resume */
export function planCard(item, resume) {
  const id = encodeURIComponent(item.id), when = new Date(item.created_at).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  const pictures = `${item.pictures.toLocaleString("en")} ${item.pictures === 1 ? "picture" : "pictures"}`;
  const facts = [pictures, item.rated ? `${item.rated} rated` : "", item.best ? `best ${item.best}` : "", item.model, item.problem].filter(Boolean).join(" · ");
  const state = STATES[item.state] ? [element("span", { className: "badge", textContent: STATES[item.state] })] : [];
  const to = [["#rate/", "rate"], ["#know/", "what is known"], ["#say/plan/", "open in the form"]];
  const actions = item.state === "broken" ? [] : to.map(([where, textContent]) => element("a", { href: where + id, textContent }));
  if (item.state === "unfinished") actions.push(element("button", { textContent: "make what is missing", onclick: () => resume(item.id) }));
  const covers = (item.covers || []).map((src) => element("img", { src, alt: "", loading: "lazy", decoding: "async" }));
  const prompt = item.prompt && item.prompt !== item.title ? [element("p", { textContent: item.prompt, dir: "auto", title: item.prompt })] : [];
  return element("article", {}, element("a", { className: covers.length === 1 ? "covers single" : "covers", href: "#watch/" + id, tabIndex: -1, ariaHidden: "true" }, ...covers),
    element("div", {}, element("h2", {}, element("a", { href: "#watch/" + id, textContent: item.title || item.id, dir: "auto" }), ...state), ...prompt,
      element("p", { className: "faint", textContent: `${when} · ${facts}` }), element("div", { className: "row" }, ...actions)));
}
