// Watch: the pictures of a plan in the report's grid as they are made, and what is done with the plan.

import { Compare } from "../shared/compare.js";
import { element } from "../shared/elements.js";
import { Grid } from "../shared/grid.js";
import { GridTools } from "../shared/grid_tools.js";
import { PlanPictures, key } from "../shared/pictures.js";
import { PlanChoice, nothing } from "./plan_choice.js";
import { Progress } from "./progress.js";
import { Queue } from "./queue.js";
import { get, inPath } from "./server.js";

const SOON = 150; // milliseconds that what happens is gathered before it is drawn

/** Where the files of a plan are, as `api/plans/ID` says.
 * @param {any} plan */
export const addressesOf = (plan) => ({
  picture: (step, p) => (p.path.startsWith("../") ? "files/" + inPath(p.path.slice(3)) : `files/${inPath(step.run_id)}/${inPath(p.path)}`),
  thumbnail: (step, p) => plan.thumbs + inPath(key(p)) + ".jpg",
  start: (name) => plan.url + name,
});

export class Watch {
  /** @param {import("./studio.js").StudioWindow} studio */
  constructor(studio) {
    this.studio = studio;
    this.choice = new PlanChoice(studio, "watch");
    this.progress = new Progress(studio);
    this.queue = new Queue(studio);
    this.title = element("h1");
    this.about = element("p", { className: "faint" });
    this.same = element("div", { id: "same" });
    this.failures = element("div", { className: "failures" });
    const area = element("div", { id: "grid" });
    const ratings = studio.ratings;
    this.grid = new Grid(area, {
      ratings, open: (p) => this.compare.open(p), pinned: (p) => this.compare.isPinned(p), pin: (p) => this.compare.pin(p),
    });
    this.compare = new Compare({ grid: this.grid, ratings, rated: () => {}, more: (p) => [this.useButton(p)] });
    this.tools = new GridTools(this.grid);
    const keys = element("span", { id: "keys", textContent: "click: enlarge · shift-click: pin and compare · 1–5: rate · 0: take back · ← →: next" });
    this.bar = element("div", { id: "tools" }, ...this.tools.elements, this.tools.shown, keys);
    this.empty = nothing("Nothing has been made yet.", element("a", { href: "#say", className: "button main", textContent: "say what to make" }));
    this.whole = element("div", {}, element("header", {}, this.title, this.about, this.same), this.progress.root, this.failures, this.bar, area);
    this.root = element("div", {}, this.queue.root, element("div", { className: "chosen" }, this.choice.root), this.empty, this.whole, this.compare.dialog);
    /** @type {any} */
    this.plan = null;
  }

  async open(id) {
    this.isOpen = true;
    this.queue.show();
    const chosen = await this.choice.choose(id);
    if (!this.isOpen) return; // who went elsewhere meanwhile is not fetched back
    this.empty.hidden = Boolean(chosen);
    this.whole.hidden = this.choice.root.hidden = !chosen;
    this.id = chosen;
    if (this.follow() || !chosen) return; // it began while this looked at what there is
    if (this.plan?.plan_id !== chosen) this.tools.before = null;
    await this.load();
  }

  close() {
    this.isOpen = false;
    clearTimeout(this.timer);
    this.timer = 0;
    if (this.compare.isOpen) this.compare.dialog.close();
  }

  async load() {
    const id = this.id, before = performance.now();
    const plan = await get("api/plans/" + inPath(id));
    if (id !== this.id) return;
    this.plan = plan;
    this.studio.ratings.learn(Object.entries(plan.ratings));
    this.title.textContent = plan.summary?.title || plan.title || plan.plan_id;
    this.about.textContent = [plan.prompt, plan.summary?.model].filter(Boolean).join(" — ");
    this.same.replaceChildren(...(plan.same || []).map((textContent) => element("div", { textContent })));
    this.showFailures();
    this.tools.show(new PlanPictures(plan, addressesOf(plan)));
    this.progress.show(plan);
    // A plan of thousands takes long to draw: as report.html, that is done for a twentieth of the time.
    this.pause = Math.max(SOON, Math.min(10_000, 20 * (performance.now() - before - 100)));
  }

  showFailures() {
    const failed = this.plan.steps.filter((step) => !["succeeded", "reused"].includes(step.outcome));
    const running = this.studio.running?.plan_id === this.id;
    this.failures.hidden = !failed.length;
    if (!failed.length) return;
    const words = new Map();
    for (const step of failed) {
      const why = step.outcome.replace("_", " ") + (step.error ? ": " + step.error : "");
      words.set(why, [...(words.get(why) || []), step.index + 1]);
    }
    const list = [...words].slice(0, 20).map(([why, steps]) => element("li", {}, element("strong", { textContent: `step ${steps.slice(0, 12).join(", ")}${steps.length > 12 ? " …" : ""} ` }), why));
    // What was skipped or cancelled has not failed: it is missing, as what was never begun, for which there is a button.
    const skipped = failed.some((step) => step.outcome === "cancelled"), offered = skipped && this.plan.steps.length < this.plan.count;
    const onclick = () => this.studio.ask("api/queue", { resume: this.id, only_failed: !skipped });
    const retry = element("button", { textContent: skipped ? "make what is missing" : "make these again", onclick, hidden: running || offered || this.plan.summary?.state === "elsewhere" });
    this.failures.replaceChildren(element("ul", {}, ...list), retry);
  }

  useButton(p) {
    return element("button", { textContent: "use", ariaLabel: "use its settings", onclick: () => { this.compare.dialog.close(); this.studio.go("use", key(p)); } });
  }

  /** Read the plan again soon; what happens until then is read with it. */
  soon() {
    if (this.timer || !this.isOpen || !this.id) return;
    this.timer = setTimeout(async () => {
      this.timer = 0;
      if (this.isOpen && this.id) await this.studio.attempt(() => this.load());
    }, this.pause || SOON);
  }

  back() {
    this.studio.attempt(() => this.open(this.id));
  }

  heard(event) {
    if (["queue", "hello"].includes(event.type)) { this.queue.show(); this.progress.showItem(); if (!this.follow()) this.showEnded(); }
    if (event.plan_id !== this.id && event.run_id !== this.id) return;
    this.progress.heard(event);
    if (["PictureSaved", "StepFinished", "PlanFinished", "RunFinished", "PlanExtended"].includes(event.type)) this.soon();
  }

  // Somebody who waits here for what was started sees it when it begins.
  follow() {
    const running = this.studio.running;
    if (!running?.plan_id || running.plan_id === this.id || (this.id && this.studio.follows !== running.id)) return false;
    this.studio.follows = "";
    this.studio.go("watch", running.plan_id);
    return true;
  }

  showEnded() {
    if (this.plan && this.studio.running?.plan_id !== this.id && !this.plan.done) this.soon();
  }

  rated(name) {
    this.progress.showItem();
    const at = this.grid.places.get(name);
    if (at === undefined) return;
    this.grid.mark(this.grid.shown[at].p);
    if (this.compare.isOpen && this.grid.current && key(this.grid.current) === name) this.compare.open(this.grid.current);
  }

  pressed(event) {
    if (this.plan) this.compare.pressed(event);
  }
}
