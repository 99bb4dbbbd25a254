// Which server makes it: one of those that are known, several that share the plan, or one that is typed.

import { choices, element } from "../shared/elements.js";
import { post } from "./server.js";

const WORDS = { away: " (away)", ready: "", unknown: "" };

export class ServersField {
  /** @param {import("./studio.js").StudioWindow} studio @param {import("./job.js").Job} job
   * @param {(refresh?: string) => void} chosen Told when another server is meant. */
  constructor(studio, job, chosen) {
    this.studio = studio;
    this.job = job;
    this.chosen = chosen;
    this.select = element("select", { id: "server", ariaLabel: "server", onchange: () => this.choose(this.select.value) });
    const search = element("button", { textContent: "look for servers", title: "on the usual ports of this machine", onclick: () => this.find() });
    const again = element("button", { textContent: "ask anew", title: "ask this server again what it has", onclick: () => chosen("1") });
    this.forget = element("button", { textContent: "forget", onclick: () => this.drop() });
    this.url = element("input", { placeholder: "http://127.0.0.1:7860", ariaLabel: "address of a server", type: "url" });
    this.auth = element("input", { placeholder: "user:password, if it asks", ariaLabel: "user and password of the server", type: "password", autocomplete: "new-password" });
    const add = element("button", { textContent: "add", ariaLabel: "add the server" });
    const typed = element("form", { className: "row", noValidate: true, onsubmit: (event) => { event.preventDefault(); this.add(); } }, this.url, this.auth, add);
    this.other = element("details", { className: "plain" }, element("summary", { textContent: "another address" }), typed);
    this.told = element("p", { className: "faint" });
    this.shared = element("div", { className: "shared" });
    this.problem = element("span", { className: "problem", role: "alert", id: "server-problem" });
    this.root = element("fieldset", { dataset: { path: "url" } }, element("legend", { textContent: "server" }), element("div", { className: "row" }, this.select, search, again, this.forget), this.told, this.shared, this.other, this.problem);
  }

  get id() {
    return this.job.get("urls")?.[0] || this.job.get("url") || this.job.get("backend") || "embedded";
  }

  /** All that share the plan. @returns {string[]} */
  get ids() {
    return this.job.get("urls") || [this.id];
  }

  draw() {
    const { servers } = this.studio.state, known = servers.find((each) => each.id === this.id);
    this.select.replaceChildren(...choices(servers.map((each) => [each.id, (each.title || each.id) + (each.url ? " · " + each.url : "") + (WORDS[each.state] || "")])));
    if (!known) this.select.append(...choices([[this.id, this.id]]));
    this.select.value = this.id;
    this.told.textContent = (known?.state !== "away" && known?.problem) || ""; // of one that is away it stands at the field
    this.forget.hidden = !known?.url;
    this.drawShared(servers.filter((each) => each.url));
  }

  // Where there are several, a plan can be shared among them.
  drawShared(servers) {
    this.shared.hidden = servers.length < 2 || this.id === "embedded";
    if (this.shared.hidden) return;
    const flag = (name, words) => element("label", {}, element("input", { type: "checkbox", checked: this.job.get(name) === true, onchange: (event) => { this.job.set(name, event.target.checked || undefined); this.chosen(); } }), " " + words);
    const boxes = servers.map((each) => element("label", {}, element("input", { type: "checkbox", checked: this.ids.includes(each.id), onchange: (event) => this.share(each.id, event.target.checked) }), " " + (each.title || each.id)));
    const more = this.ids.length > 1 ? [flag("mix_servers", "of several kinds"), flag("skip_unreachable", "go on without one that does not answer")] : [];
    this.shared.replaceChildren(element("span", { className: "faint", textContent: "shared among" }), ...boxes, ...more);
  }

  /** Where nobody has said anything yet, a server of the person's own goes before the model that is built in. */
  prefer() {
    const said = ["urls", "url", "backend", "txt2img", "learning"].some((name) => this.job.get(name) !== undefined);
    const own = said ? null : this.studio.state.servers.find((each) => each.url && each.state !== "away");
    if (own) this.choose(own.id); else this.draw();
  }

  share(id, yes) {
    const ids = yes ? [...this.ids, id] : this.ids.filter((each) => each !== id);
    if (!ids.length) return this.draw();
    this.job.set("backend", undefined);
    this.job.set("urls", ids.length > 1 ? ids : undefined);
    this.job.set("url", ids.length > 1 ? undefined : ids[0]);
    if (ids.length < 2) for (const name of ["mix_servers", "skip_unreachable"]) this.job.set(name, undefined);
    this.draw();
    this.chosen();
  }

  choose(id) {
    const server = this.studio.state.servers.find((each) => each.id === id);
    for (const name of ["urls", "mix_servers", "skip_unreachable", ...(server?.url ? ["workers"] : [])]) this.job.set(name, undefined);
    this.job.set("url", server?.url || undefined);
    this.job.set("backend", server?.url ? undefined : id);
    this.draw();
    this.chosen();
  }

  async find() {
    const found = await this.studio.ask("api/servers/search");
    if (!found) return;
    const before = this.studio.state.servers.length;
    this.studio.state.servers = found.servers;
    this.draw();
    if (found.servers.length === before) this.studio.tell("no other server answers on the usual ports of this machine");
  }

  async add() {
    this.problem.textContent = "";
    const auth = this.auth.value || undefined;
    let server;
    try {
      server = await post("api/servers", { url: this.url.value, auth });
    } catch (error) {
      this.problem.textContent = /** @type {Error} */ (error).message;
      return;
    }
    this.url.value = this.auth.value = "";
    this.other.open = false;
    if (!this.studio.state.servers.some((each) => each.id === server.id)) this.studio.state.servers.push(server);
    this.choose(server.id);
  }

  async drop() {
    const left = await this.studio.ask("api/servers/forget", { id: this.id });
    if (left) { this.studio.state.servers = left.servers; this.choose("embedded"); }
  }
}
