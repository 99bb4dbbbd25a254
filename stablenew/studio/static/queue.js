// The queue: what runs, what waits (to be moved and taken out), what was cut off, and how what came before ended.

import { element } from "../shared/elements.js";

export class Queue {
  /** @param {import("./studio.js").StudioWindow} studio */
  constructor(studio) {
    this.studio = studio;
    this.list = element("ol", { onkeydown: (event) => this.pressed(event) });
    this.count = element("summary");
    this.start = element("button", { className: "main", textContent: "start the queue", onclick: () => studio.ask("api/queue/start") });
    this.hint = element("p", { className: "faint", textContent: "Alt+↑ and Alt+↓ on one that waits move it, Delete takes it out." });
    this.root = element("details", { className: "queue" }, this.count, this.start, this.list, this.hint);
  }

  show() {
    const { queue: items, held } = this.studio.state, waiting = items.filter((item) => item.state === "waiting"), cut = items.filter((item) => item.state === "interrupted");
    this.root.hidden = !items.length;
    this.count.textContent = `queue: ${waiting.length} waiting${cut.length ? `, ${cut.length} interrupted` : ""}`;
    this.start.hidden = !held || !waiting.length;
    this.hint.hidden = waiting.length < 2;
    if ((waiting.length || cut.length) && !this.was) this.root.open = true;
    this.was = waiting.length + cut.length;
    const focused = this.list.contains(document.activeElement) ? document.activeElement : null, id = focused?.closest("li")?.dataset.item, words = focused?.ariaLabel;
    this.list.replaceChildren(...items.map((item) => this.item(item, waiting)));
    if (id) this.focus(id, words);
  }

  // What had the focus keeps it, wherever it has come to stand.
  focus(id, words) {
    const row = this.list.querySelector(`[data-item="${CSS.escape(id)}"]`);
    ([...(row?.querySelectorAll("button") || [])].find((each) => each.ariaLabel === words) || row?.querySelector("button, a"))?.focus();
  }

  item(item, waiting) {
    const at = waiting.indexOf(item), cut = item.state === "interrupted";
    const shared = item.workers > 1 ? `${item.workers} processes` : item.servers?.length > 1 ? `${item.servers.length} servers` : "";
    const told = [item.outcome || item.state, item.pictures ? `${item.pictures} ${item.pictures === 1 ? "picture" : "pictures"}` : "", shared, item.state === "ended" ? "" : item.estimate?.words, item.error].filter(Boolean);
    const title = item.plan_id
      ? element("a", { href: "#watch/" + encodeURIComponent(item.plan_id), textContent: item.title, dir: "auto" })
      : element("span", { textContent: item.title, dir: "auto" });
    const made = element("li", { className: item.state, dataset: { item: item.id } }, title, element("span", { className: "faint", textContent: told.join(" · ") }));
    const add = (textContent, words, work) => made.append(element("button", { textContent, title: words, ariaLabel: `${words}: ${item.title}`, onclick: work }));
    if (cut) add("resume", "go on with it", () => this.studio.ask(this.address(item.id, "resume")));
    if (at > 0) add("↑", "earlier", () => this.move(item.id, -1));
    if (at >= 0 && at < waiting.length - 1) add("↓", "later", () => this.move(item.id, 1));
    if (at >= 0 || cut || item.state === "ended") add("✕", "take out", () => this.remove(item.id));
    return made;
  }

  address(id, what) {
    return `api/queue/${encodeURIComponent(id)}/${what}`;
  }

  move(id, by) {
    const waiting = this.studio.state.queue.filter((item) => item.state === "waiting"), at = waiting.findIndex((item) => item.id === id);
    if (at < 0 || !waiting[at + by]) return;
    this.studio.ask(this.address(id, "move"), { before: by < 0 ? waiting[at - 1].id : waiting[at + 2]?.id ?? null });
  }

  remove(id) {
    this.studio.ask(this.address(id, "remove"));
  }

  pressed(event) {
    const item = event.target.closest("li")?.dataset.item;
    if (!item) return;
    if (event.altKey && /^Arrow(Up|Down)$/.test(event.key)) this.move(item, event.key === "ArrowUp" ? -1 : 1);
    else if (event.key === "Delete") this.remove(item);
    else return;
    event.preventDefault();
  }
}
