// Which plan a view is about: the one in the address, or that one looked at last, or the newest.

import { element } from "../shared/elements.js";
import { get } from "./server.js";

export class PlanChoice {
  /** @param {import("./studio.js").StudioWindow} studio @param {string} view */
  constructor(studio, view) {
    this.studio = studio;
    const onchange = () => studio.go(view, this.select.value);
    this.select = element("select", { ariaLabel: "plan", className: "plan", onchange });
    this.root = element("label", { className: "choice" }, "plan ", this.select);
    /** @type {any[]} */
    this.items = [];
  }

  /** @param {string} [asked] @returns {Promise<string>} The plan's id; "" where there is none. */
  async choose(asked) {
    this.items = (await get("api/plans", { per_page: 100 })).items;
    const wanted = asked || this.studio.plan;
    const id = wanted && (asked || this.items.some((item) => item.id === wanted)) ? wanted : this.items[0]?.id || "";
    if (id) this.studio.lookAt(id);
    const options = this.items.map((item) => this.option(item));
    if (id && !this.items.some((item) => item.id === id)) options.unshift(element("option", { value: id, textContent: id }));
    this.select.replaceChildren(...options);
    this.select.value = id;
    this.root.hidden = !options.length;
    return id;
  }

  option(item) {
    const when = item.created_at ? new Date(item.created_at).toLocaleString([], { dateStyle: "medium", timeStyle: "short" }) : "";
    const told = [item.prompt, item.title, when].filter(Boolean).map((text) => (text.length > 60 ? text.slice(0, 60) + "…" : text));
    return element("option", { value: item.id, textContent: told.join(" · ") });
  }
}

/** What stands where there is nothing yet.
 * @param {string} text @param {...Node} rest */
export const nothing = (text, ...rest) => element("div", { className: "nothing" }, element("p", { textContent: text }), ...rest);
