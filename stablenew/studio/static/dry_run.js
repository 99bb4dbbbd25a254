// What would be made: how many pictures, how long, what is there already, what is wrong, and the command line.

import { element } from "../shared/elements.js";
import { inOneLine, post } from "./server.js";

const QUIET = 250; // milliseconds without a change until it is asked

export class DryRun {
  /** @param {import("./studio.js").StudioWindow} studio @param {import("./say.js").Say} say */
  constructor(studio, say) {
    this.studio = studio;
    this.say = say;
    this.known = false; // whether what is said now can be made
    this.begins = false; // whether Start was pressed meanwhile
    this.count = element("p", { className: "count" });
    this.told = element("div", { className: "notes", role: "status" });
    this.problems = element("ul", { className: "problems" });
    this.unfinished = element("div");
    this.command = element("code", { className: "command", tabIndex: 0, ariaLabel: "the same on the command line", role: "textbox", ariaReadOnly: "true" });
    this.start = element("button", { className: "main", id: "start", textContent: "Start", onclick: () => this.begin() });
    this.copy = element("button", { textContent: "copy the line", onclick: () => this.copyLine() });
    this.plan = element("button", { textContent: "plan file", onclick: () => this.download() });
    const line = element("div", { className: "line" }, this.command, element("div", { className: "row" }, this.copy, this.plan));
    this.root = element("aside", { ariaLabel: "what would be made" }, this.count, this.told, this.problems, element("div", { className: "row" }, this.start), this.unfinished, line);
  }

  soon() {
    clearTimeout(this.timer);
    this.asking?.abort();
    this.known = this.begins = false;
    this.timer = setTimeout(() => this.studio.attempt(() => this.ask()), QUIET);
  }

  async ask() {
    const asking = this.asking = new AbortController();
    this.show(await post("api/dry-run", { job: this.say.job.plain }, asking.signal));
  }

  show(dry) {
    const wrong = dry.errors.length > 0, number = (n) => n.toLocaleString("en");
    this.known = true;
    this.start.disabled = wrong;
    if (this.begins && !wrong) this.begin();
    this.begins = false;
    const pictures = wrong ? "" : `${dry.roughly ? "about " : ""}${number(dry.pictures)} ${dry.pictures === 1 ? "picture" : "pictures"}`;
    this.count.textContent = wrong ? "This cannot be made yet." : [pictures, dry.estimate?.words].filter(Boolean).join(" · ");
    const notes = [...(dry.there ? [`${number(dry.there)} of them are there already`] : []), ...(dry.axes || []).map((axis) => `${axis.name}: ${axis.labels.slice(0, 12).join(", ")}${axis.labels.length > 12 ? " …" : ""}`), ...dry.notes];
    this.told.replaceChildren(...notes.map((textContent) => element("p", { textContent })));
    for (const each of this.say.form.querySelectorAll(".problem")) each.textContent = "";
    this.problems.replaceChildren(...dry.errors.map((error) => {
      const field = error.field && this.say.form.querySelector(`[data-path="${CSS.escape(error.field)}"] .problem`);
      if (field) field.textContent = error.message;
      return element("li", { textContent: inOneLine(error) });
    }));
    this.unfinished.replaceChildren(...(dry.unfinished || []).map(({ plan_id, words }) => element("p", {}, words + " ", element("button", { textContent: "go on with it", onclick: () => this.queue({ resume: plan_id }) }))));
    this.command.textContent = dry.command || "";
    this.plan.hidden = this.copy.hidden = !dry.command;
  }

  // Nothing is made before it is known that it can be: whoever presses before that has it made then.
  begin() {
    this.begins = !this.known;
    return this.begins ? undefined : this.queue({ job: this.say.job.plain });
  }

  async queue(said) {
    const item = await this.studio.ask("api/queue", said);
    if (item) this.studio.follow(item);
  }

  async copyLine() {
    await this.studio.attempt(() => navigator.clipboard.writeText(this.command.textContent));
    this.studio.tell("copied");
  }

  async download() {
    const made = await this.studio.ask("api/plan-file/from-job", { job: this.say.job.plain });
    if (made) save("plan.toml", made.text);
  }
}

/** Have the browser save a text as a file. @param {string} download @param {string} text */
export function save(download, text) {
  const link = element("a", { href: URL.createObjectURL(new Blob([text], { type: "text/plain" })), download });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
