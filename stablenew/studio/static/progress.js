// How far the plan that runs is: the step, the time left, the picture in the making, and what can be done with it.

import { element } from "../shared/elements.js";
import { post } from "./server.js";

const MEASURED = 20; // the steps whose time says how long the others will take

/** A time in words.
 * @param {number} seconds */
export function duration(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

/** How many ratings an exploration waits for; null where there is none.
 * @param {any} item Of the queue. @param {any} plan @param {import("../shared/rating.js").Ratings} ratings
 * @returns {{ ratings: number, blocked: boolean } | null} */
function awaited(item, plan, ratings) {
  if (item.awaits !== undefined) return item.awaits;
  if (!plan.job?.learning?.mode) return null;
  const unrated = plan.steps.flatMap((step) => step.pictures).filter((p) => !p.blank && !ratings.of(p)).length;
  return unrated ? { ratings: unrated, blocked: false } : null;
}

export class Progress {
  /** @param {import("./studio.js").StudioWindow} studio */
  constructor(studio) {
    this.studio = studio;
    this.bar = element("progress", { max: 1, value: 0, ariaLabel: "how much of the plan is made" });
    this.stage = element("progress", { max: 1, value: 0, ariaLabel: "how much of the picture is made", className: "stage" });
    this.words = element("p", { className: "words" });
    this.step = element("p", { className: "faint" });
    this.preview = element("img", { className: "preview", alt: "the picture in the making", hidden: true });
    this.preview.onerror = () => { this.preview.hidden = true; };
    this.buttons = element("div", { className: "actions" });
    this.receipt = element("p", { className: "receipt", role: "status" });
    this.awaits = element("p", { className: "awaits", role: "status" });
    this.live = element("div", { className: "live" }, this.preview, element("div", {}, this.words, this.bar, this.step, this.stage, this.buttons));
    this.root = element("section", { className: "progress", ariaLabel: "progress" }, this.live, this.awaits, this.receipt);
  }

  /** The item of the queue that the plan is, if it is one of this studio. */
  get item() {
    const all = this.studio.state.queue.filter((item) => this.plan && item.plan_id === this.plan.plan_id);
    return all[all.length - 1];
  }

  /** @param {any} plan As the server tells it. */
  show(plan) {
    const other = this.plan?.plan_id !== plan.plan_id;
    this.plan = plan;
    if (other) this.reset();
    this.showItem();
  }

  reset() {
    this.step.textContent = this.receipt.textContent = "";
    this.stage.value = 0;
    this.preview.hidden = true;
    for (const event of this.studio.making.values()) if ([event.plan_id, event.run_id].includes(this.plan.plan_id)) this.heard(event);
  }

  showItem() {
    if (!this.plan) return;
    const { item, plan } = this, done = plan.steps.length, total = Math.max(plan.count || 1, done);
    const active = item && ["running", "paused", "stopping"].includes(item.state);
    this.bar.max = total;
    this.bar.value = done;
    this.live.classList.toggle("over", !active);
    this.words.textContent = [`${done} of ${total} steps`, active ? this.left(total - done) : this.ended(item)].filter(Boolean).join(" · ");
    if (!active) { this.preview.hidden = true; this.step.textContent = ""; }
    this.stage.hidden = !active;
    this.showButtons(item, active, done < total);
    this.showReceipt(item);
    this.showAwaited(item, active);
  }

  // An exploration goes on with what is rated: how many are still to be, and where.
  showAwaited(item, active) {
    const waits = active ? awaited(item, this.plan, this.studio.ratings) : null;
    this.awaits.hidden = !waits;
    if (!waits) return;
    const pictures = waits.ratings === 1 ? "1 rating" : `${waits.ratings} ratings`;
    const words = waits.blocked ? `It waits for ${pictures} before it makes more. ` : `${pictures} would help it to choose what comes next. `;
    const onclick = () => this.studio.go("rate", this.plan.plan_id);
    if (this.awaits.dataset.said !== words) this.awaits.replaceChildren(words, element("button", { className: "main", textContent: "rate them", onclick }));
    this.awaits.dataset.said = words;
  }

  left(steps) {
    const { state } = this.item;
    if (state !== "running") return state === "paused" ? "paused" : "stopping";
    const made = this.plan.steps.filter((step) => step.outcome === "succeeded" && step.seconds > 0).slice(-MEASURED);
    if (!made.length || !steps) return "";
    return `about ${duration((steps * made.reduce((sum, step) => sum + step.seconds, 0)) / made.length)} left`;
  }

  ended(item) {
    const state = this.plan.summary?.state;
    if (state === "elsewhere") return "another StableNew is at it: it can be looked at here";
    const outcome = item?.outcome || (this.plan.done ? "" : state);
    return [outcome, item?.error].filter(Boolean).join(": ");
  }

  showButtons(item, active, missing) {
    const add = (textContent, address, said) => element("button", { textContent, onclick: () => this.studio.ask(address, said) });
    const made = [];
    if (active) {
      made.push(item.state === "paused" ? add("go on", "api/resume") : add("pause", "api/pause"), add("skip this step", "api/skip-step"));
      made.push(element("button", { textContent: "cancel", onclick: () => this.cancel() }));
    } else if (missing && ["unfinished", "complete", "running"].includes(this.plan.summary?.state || "")) {
      made.push(add("make what is missing", "api/queue", { resume: this.plan.plan_id }));
    }
    const id = encodeURIComponent(this.plan.plan_id);
    made.push(element("a", { className: "button", href: "#rate/" + id, textContent: "rate" }), element("a", { className: "button", href: "#know/" + id, textContent: "what is known" }));
    made.push(element("a", { className: "button", href: "#say/plan/" + id, textContent: "open in the form" }));
    const focused = this.buttons.contains(document.activeElement) ? document.activeElement.textContent : "";
    const same = made.map((each) => each.textContent).join() === [...this.buttons.children].map((each) => each.textContent).join();
    if (same && this.drawnFor === id) return; // a button that is being pressed is not taken away
    this.drawnFor = id;
    this.buttons.replaceChildren(...made);
    if (focused) (made.find((each) => each.textContent === focused) || made[0]).focus();
  }

  async cancel() {
    this.receipt.textContent = "asking the server to stop …";
    const item = await this.studio.attempt(() => post("api/cancel"));
    if (item) this.showReceipt(item); else this.receipt.textContent = "";
  }

  // What the server said when it was asked to stop.
  showReceipt(item) {
    const receipt = item?.receipt;
    if (!receipt && item?.state !== "stopping") this.receipt.textContent = ""; // of what was cancelled before
    if (!receipt) return;
    const said = receipt.confirmed ? "the server confirmed that it stopped" : "the server did not confirm that it stopped";
    const seconds = typeof receipt.seconds === "number" ? ` after ${receipt.seconds.toFixed(2)} s` : "";
    this.receipt.textContent = `${receipt.call || "cancel"}: ${said}${seconds}${receipt.detail ? ". " + receipt.detail : ""}`;
  }

  heard(event) {
    if (event.type === "StepStarted") {
      this.step.textContent = [`step ${event.index + 1}`, event.label].filter(Boolean).join(": ");
      this.stage.value = 0;
    } else if (event.type === "StageProgress") {
      this.stage.value = event.fraction;
      this.stage.title = event.stage;
    } else if (event.type === "PreviewMade") {
      this.preview.src = `api/preview/${encodeURIComponent(event.run_id)}?n=${event.sequence}`;
      this.preview.hidden = false;
    } else if (event.type === "RunFinished") this.preview.hidden = true;
    else if (event.type === "BackendLost") this.step.textContent = `the server went away: ${event.error || ""}`;
    else if (event.type === "BackendAwaited") this.step.textContent = `waiting for the server, ${duration(event.seconds_left)} more`;
    else if (event.type === "BackendReturned") this.step.textContent = "the server is back";
  }
}
