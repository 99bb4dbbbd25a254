// The queue: what runs, what waits (to be moved and taken out), and how what came before ended.

import { element } from "../shared/elements.js";

export class Queue {
  /** @param {import("./studio.js").StudioWindow} studio */
  constructor(studio) {
    this.studio = studio;
    this.list = element("ol");
    this.count = element("summary");
    this.root = element("details", { className: "queue" }, this.count, this.list);
  }

  show() {
    const items = this.studio.state.queue, waiting = items.filter((item) => item.state === "waiting");
    this.root.hidden = !items.length;
    this.count.textContent = `queue: ${waiting.length} waiting`;
    if (waiting.length && !this.was) this.root.open = true;
    this.was = waiting.length;
    const focused = this.list.contains(document.activeElement) ? document.activeElement.ariaLabel : "";
    this.list.replaceChildren(...items.map((item) => this.item(item, waiting)));
    if (focused) [...this.list.querySelectorAll("button")].find((each) => each.ariaLabel === focused)?.focus();
  }

  item(item, waiting) {
    const at = waiting.indexOf(item);
    const told = [item.outcome || item.state, item.pictures ? `${item.pictures} pictures` : "", item.state === "ended" ? "" : item.estimate?.words, item.error].filter(Boolean);
    const title = item.plan_id
      ? element("a", { href: "#watch/" + encodeURIComponent(item.plan_id), textContent: item.title })
      : element("span", { textContent: item.title });
    const made = element("li", { className: item.state }, title, element("span", { className: "faint", textContent: told.join(" · ") }));
    const add = (textContent, words, address, said) =>
      made.append(element("button", { textContent, title: words, ariaLabel: `${words}: ${item.title}`, onclick: () => this.studio.ask(address, said) }));
    const base = `api/queue/${encodeURIComponent(item.id)}/`;
    if (at > 0) add("↑", "earlier", base + "move", { before: waiting[at - 1].id });
    if (at >= 0 && at < waiting.length - 1) add("↓", "later", base + "move", { before: waiting[at + 2]?.id ?? null });
    if (at >= 0 || item.state === "ended") add("✕", "take out", base + "remove");
    return made;
  }
}
