// Say what: a form of what the server has, and beside it what would be made, as it is changed.

import { choices, element } from "../shared/elements.js";
import { DryRun } from "./dry_run.js";
import { formField } from "./form_field.js";
import { Job, axisWords } from "./job.js";
import { get, inPath, post, upload } from "./server.js";

export class Say {
  /** @param {import("./studio.js").StudioWindow} studio */
  constructor(studio) {
    this.studio = studio;
    this.job = new Job();
    this.dry = new DryRun(studio, this);
    this.server = element("select", { id: "server", onchange: () => this.chooseServer() });
    this.search = element("button", { textContent: "look for servers", onclick: () => this.find() });
    this.url = element("input", { placeholder: "http://127.0.0.1:7860", ariaLabel: "address of a server", type: "url" });
    const name = element("button", { textContent: "add", ariaLabel: "add the server", onclick: () => this.addServer() });
    this.prompts = element("div", { className: "prompts" });
    this.pack = element("select", { id: "pack", onchange: () => { this.job.set("pack", this.pack.value || undefined); if (!this.pack.value) { this.job.set("prompt_index", undefined); this.job.set("prompts", undefined); } else if (!this.job.get("prompt_index")) this.job.set("prompt_index", 1); this.draw(); } });
    this.file = element("input", { type: "file", multiple: true, hidden: true, onchange: () => this.drop(this.file.files) });
    this.files = element("button", { textContent: "a pack, a plan file or a picture …", title: "or drop it onto the page", onclick: () => this.file.click() });
    this.top = element("div", { className: "fields" });
    this.axes = element("div", { className: "axes" });
    this.stages = element("div", { className: "stages" });
    const servers = element("fieldset", {}, element("legend", { textContent: "server" }), element("div", { className: "row" }, this.server, this.search, this.url, name));
    servers.querySelector("select").ariaLabel = "server";
    const prompts = element("fieldset", {}, element("legend", { textContent: "prompt" }), this.prompts, element("div", { className: "row" }, element("label", {}, "pack ", this.pack), this.files, this.file));
    const settings = element("fieldset", {}, element("legend", { textContent: "how many" }), this.top, this.axes);
    this.form = element("div", { className: "form" }, servers, prompts, settings, this.stages);
    this.root = element("div", { className: "saying" }, element("h1", { className: "unseen", textContent: "Say what to make" }), this.form, this.dry.root);
  }

  async open(what, id) {
    if (what === "plan" && id) {
      const { job, errors } = await get(`api/plans/${inPath(id)}/job`);
      this.job.take(job);
      errors.forEach(({ message }) => this.studio.tell(message, true));
      history.replaceState(null, "", "#say");
    }
    this.drawServers();
    const { packs } = await get("api/packs");
    this.packs = packs;
    await this.load();
    await this.drop(this.studio.dropped.splice(0));
  }

  get serverId() {
    return this.job.get("url") || this.job.get("backend") || "embedded";
  }

  async load(refresh = "") {
    const asked = this.serverId;
    try {
      this.form_ = await get("api/form", { server: asked, refresh });
    } catch (error) {
      this.form_ = null;
      this.studio.tell(/** @type {Error} */ (error).message, true);
    }
    if (asked === this.serverId) this.draw();
  }

  drawServers() {
    const servers = this.studio.state.servers, words = { away: " (away)", ready: "", unknown: "" };
    this.server.replaceChildren(...choices(servers.map((each) => [each.id, (each.title || each.id) + (each.url ? " · " + each.url : "") + (words[each.state] || "")])));
    if (!servers.some((each) => each.id === this.serverId)) this.server.append(...choices([[this.serverId, this.serverId]]));
    this.server.value = this.serverId;
  }

  chooseServer() {
    const chosen = this.studio.state.servers.find((each) => each.id === this.server.value);
    this.job.set("url", chosen?.url || undefined);
    this.job.set("backend", chosen?.url ? undefined : this.server.value);
    this.studio.attempt(() => this.load());
  }

  async find() {
    const found = await this.studio.ask("api/servers/search");
    if (found) { this.studio.state.servers = found.servers; this.drawServers(); }
  }

  async addServer() {
    const server = await this.studio.ask("api/servers", { url: this.url.value });
    if (!server) return;
    this.url.value = "";
    if (!this.studio.state.servers.some((each) => each.id === server.id)) this.studio.state.servers.push(server);
    this.drawServers();
    this.server.value = server.id;
    this.chooseServer();
  }

  /** Draw the form anew; who types in it goes on typing. */
  draw() {
    const at = /** @type {any} */ (document.activeElement), typing = this.form.contains(at) && at.value;
    this.drawForm();
    if (typing === false) return;
    const same = at.id ? document.getElementById(at.id) : [...this.form.querySelectorAll(at.tagName)].find((each) => each.ariaLabel === at.ariaLabel);
    if (!same) return;
    if (/INPUT|TEXTAREA/.test(at.tagName)) same.value = typing;
    same.focus();
  }

  drawForm() {
    this.drawPrompts();
    this.pack.replaceChildren(...choices([["", "(none)"], ...(this.packs || []).map(({ name, prompts }) => /** @type {[string, string]} */ ([name, `${name} (${prompts})`]))]));
    this.pack.value = this.job.get("pack") || "";
    const own = (name, path, kind, hint, more = {}) => formField({ name, path, kind, default: hint, low: null, high: null, sweepable: false, ...more }, this.job, () => this.changed());
    this.top.replaceChildren(own("pictures per step", "images_per_step", "whole", 1), own("seed", "seed", "whole", "chance"),
      own("at most, of all combinations", "sample", "whole", "all"), own("name", "experiment_name", "text", "none"), own("starting picture", "image", "text", "none"),
      ...(this.pack.value ? [own("prompt number", "prompt_index", "whole", 1), own("prompts of the pack", "prompts", "text", "one")] : []));
    const other = this.job.axes.filter((axis) => !axis.path);
    this.axes.replaceChildren(...other.map((axis) => element("button", { className: "chip", textContent: axisWords(axis) + " ✕", onclick: () => { this.job.plain.learning.axes = this.job.axes.filter((each) => each !== axis); this.job.keep(); this.draw(); } })));
    this.stages.replaceChildren(...(this.form_?.stages || []).map((stage) => this.stage(stage)));
    this.changed();
  }

  drawPrompts() {
    const given = this.job.get("prompt"), all = Array.isArray(given) ? given : [given ?? ""];
    const put = (n, text) => { const next = [...all]; next[n] = text; all[n] = text; this.job.set("prompt", next.length > 1 ? next : text || undefined); this.changed(); };
    const area = (text, n) => element("textarea", { rows: 2, value: text, ariaLabel: all.length > 1 ? `prompt ${n + 1}` : "prompt", placeholder: "penguin in the snow, night", oninput: (event) => put(n, event.target.value), dir: "auto" });
    const not = element("input", { value: this.job.get("negative_prompt") ?? "", ariaLabel: "negative prompt", placeholder: "what it should not show", dir: "auto", oninput: (event) => { this.job.set("negative_prompt", event.target.value || undefined); this.changed(); } });
    const more = element("button", { textContent: "another prompt", onclick: () => { this.job.set("prompt", [...all, ""]); this.job.set("compare_prompts", true); this.draw(); } });
    const less = element("button", { textContent: "one less", onclick: () => { const rest = all.slice(0, -1); this.job.set("prompt", rest.length > 1 ? rest : rest[0]); if (rest.length < 2) this.job.set("compare_prompts", undefined); this.draw(); } });
    this.prompts.replaceChildren(...all.map(area), not, element("div", { className: "row" }, more, ...(all.length > 1 ? [less] : [])));
  }

  stage(stage) {
    const path = stage.name + ".enabled", on = this.job.get(path) ?? stage.enabled;
    const box = element("input", { type: "checkbox", checked: on, ariaLabel: `${stage.name} is run`, onchange: () => { this.job.set(path, box.checked); root.open = box.checked; this.changed(); } });
    const fields = stage.fields.filter(({ name }) => !["enabled", "prompt", "negative_prompt", "seed"].includes(name) || stage.name !== "txt2img" && name !== "enabled");
    const root = element("details", { open: on }, element("summary", { textContent: stage.name }), element("label", { className: "run" }, box, " run it"),
      element("div", { className: "fields" }, ...fields.map((field) => formField(field, this.job, () => this.changed()))));
    return root;
  }

  async drop(files) {
    for (const file of files) await this.studio.attempt(() => this.dropOne(file));
    this.file.value = "";
  }

  async dropOne(file) {
    if (/\.(png|jpe?g|webp)$/i.test(file.name)) {
      this.job.set("image", (await upload("api/images", file)).image);
    } else if (/\.toml$/i.test(file.name)) {
      const { job, errors } = await post("api/plan-file", { text: await file.text(), name: file.name });
      if (job) this.job.take(job);
      errors.forEach(({ field, message }) => this.studio.tell(`${field || file.name}: ${message}`, true));
    } else {
      const { name, prompts } = await upload("api/packs", file);
      this.packs = (await get("api/packs")).packs;
      this.job.set("pack", name);
      this.job.set("prompt", undefined);
      if (prompts > 1) this.job.set("prompts", "all");
    }
    this.draw();
  }

  changed() {
    this.dry.soon();
  }

  heard(event) {
    if (["hello", "servers"].includes(event.type)) this.drawServers();
  }

  back() {
    this.dry.soon();
  }
}
