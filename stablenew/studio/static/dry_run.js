// What would be made: how many pictures, how long, what is there already, what is wrong, and the command line.

import { element } from "../shared/elements.js";
import { markField } from "./form_field.js";
import { Refused, inOneLine, post } from "./server.js";

const QUIET = 250; // milliseconds without a change until it is asked
const AWAY = 502; // the status of an answer that a server did not give
const NAMED = 12; // values of an axis that are named

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
    this.start = element("button", { className: "main", id: "start", textContent: "Start", title: "Ctrl+Enter", onclick: () => this.begin() });
    this.example = element("button", { textContent: "show me an example", onclick: () => say.example() });
    this.copy = element("button", { textContent: "copy the line", onclick: () => this.copyLine() });
    this.plan = element("button", { textContent: "plan file", onclick: () => this.download() });
    const line = element("div", { className: "line" }, element("p", { className: "faint", textContent: "the same on the command line" }), this.command, element("div", { className: "row" }, this.copy, this.plan));
    this.root = element("aside", { ariaLabel: "what would be made" }, this.count, this.told, this.problems, element("div", { className: "row starting" }, this.start, this.example), this.unfinished, line);
  }

  soon() {
    clearTimeout(this.timer);
    this.asking?.abort();
    this.known = false;
    this.timer = setTimeout(() => this.studio.attempt(() => this.ask()), QUIET);
  }

  async ask() {
    const asking = this.asking = new AbortController();
    try {
      this.show(await post("api/dry-run", { job: this.say.job.plain }, asking.signal));
    } catch (error) {
      if (!asking.signal.aborted) this.begins = false;
      if (!(error instanceof Refused)) throw error;
      // What cannot be asked cannot be made: a server that does not answer is a problem of its field.
      this.show({ errors: error.errors.map((each) => ({ ...each, field: each.field ?? (error.status === AWAY ? "url" : null) })), notes: [] });
    }
  }

  show(dry) {
    const wrong = dry.errors.length > 0, number = (n) => n.toLocaleString("en");
    this.known = true;
    const bare = wrong && dry.errors.every(({ field }) => /(^|\.)prompt$/.test(field || "")); // nobody has said anything yet
    this.start.disabled = wrong;
    this.start.textContent = this.studio.running ? "Add to the queue" : "Start";
    this.example.hidden = !bare;
    if (this.begins && !wrong) this.begin();
    this.begins = false;
    const pictures = wrong ? "" : `${dry.roughly ? "about " : ""}${number(dry.pictures)} ${dry.pictures === 1 ? "picture" : "pictures"}`;
    this.count.textContent = bare ? "What should it show?" : wrong ? "This cannot be made yet." : [pictures, dry.estimate?.words].filter(Boolean).join(" · ");
    const axes = (dry.axes || []).map((axis) => `${axis.name}: ${axis.labels.slice(0, NAMED).join(", ")}${axis.labels.length > NAMED ? ` … (${axis.labels.length})` : ""}`);
    const hint = bare ? ["Type a prompt. With “explore” beside a setting several of its values are made, to be compared and rated."] : [];
    const notes = [...hint, ...(dry.there ? [`${number(dry.there)} of them are there already`] : []), ...axes, ...dry.notes];
    this.told.replaceChildren(...notes.map((textContent) => element("p", { textContent })));
    this.mark(bare ? [] : dry.errors);
    this.unfinished.replaceChildren(...(dry.unfinished || []).map(({ plan_id, words }) => element("p", {}, words + " ", element("button", { textContent: "go on with it", onclick: () => this.queue({ resume: plan_id }) }))));
    this.command.textContent = dry.command || "";
    this.command.parentElement.hidden = !dry.command;
    this.plan.classList.toggle("main", Boolean(dry.plan_file)); // the line needs it
  }

  // Each problem at its field, and all of them in one list.
  mark(errors) {
    const said = new Map();
    for (const error of errors) {
      const field = this.fieldOf(error);
      if (field) said.set(field, [said.get(field), error.message].filter(Boolean).join("; "));
    }
    for (const each of this.say.form.querySelectorAll("[data-path]")) if (each.querySelector(":scope > .problem")) markField(each, said.get(each) || "");
    this.problems.replaceChildren(...errors.map((error) => {
      const field = this.fieldOf(error);
      if (!field) return element("li", { textContent: inOneLine(error) });
      return element("li", {}, element("button", { className: "link", textContent: inOneLine(error), title: "go to the field", onclick: () => goTo(field) }));
    }));
  }

  fieldOf({ field, message }) {
    const axis = /^learning\.axes\[(\d+)\]/.exec(field || ""), inWords = /^([\w.]+): /.exec(message);
    const paths = [field, axis && this.say.job.axes[Number(axis[1])]?.path, inWords?.[1], field?.replace(/^inputs\./, ""),
      /(^|\.)(negative_)?prompt$|^pack/.test(field || "") ? "prompt" : null, /^(urls?|backend|mix_servers|workers)$/.test(field || "") ? "url" : null];
    for (const path of paths) {
      const found = path && this.say.form.querySelector(`[data-path="${CSS.escape(path)}"]`);
      if (found?.querySelector(":scope > .problem")) return found;
    }
    return null;
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

function goTo(field) {
  field.closest("details")?.setAttribute("open", "");
  field.querySelector("input, select, textarea")?.focus();
}

/** Have the browser save a text as a file. @param {string} download @param {string} text */
export function save(download, text) {
  const link = element("a", { href: URL.createObjectURL(new Blob([text], { type: "text/plain" })), download });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
