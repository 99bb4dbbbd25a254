// Know: what the ratings say of each setting and of all together, how sure that is, and what to do next.

import { element, inWords } from "../shared/elements.js";
import { bars, curve, heatMap } from "./charts.js";
import { PlanChoice, nothing } from "./plan_choice.js";
import { get } from "./server.js";

// What is expected; of what nothing is known there are no numbers.
const digit = (number) => (typeof number === "number" ? number.toFixed(1) : "–");
const interval = ({ mean, low, high }) => (typeof mean === "number" ? `${digit(mean)} (${digit(low)} to ${digit(high)})` : "");

export class Know {
  /** @param {import("./studio.js").StudioWindow} studio */
  constructor(studio) {
    this.studio = studio;
    this.choice = new PlanChoice(studio, "know");
    this.every = element("input", { type: "checkbox", onchange: () => studio.attempt(() => this.load()) });
    this.advice = element("div");
    this.root = element("div", {}, element("h1", { className: "unseen", textContent: "What is known" }),
      element("div", { className: "chosen" }, this.choice.root, element("label", {}, this.every, " all plans together")), this.advice);
  }

  async open(id) {
    this.id = await this.choice.choose(id);
    await this.load();
  }

  async load() {
    const advice = await get("api/advice", { plan: this.every.checked ? "" : this.id });
    this.told = advice;
    const said = `${advice.ratings} ratings${advice.choices ? `, ${advice.choices} choices between two` : ""}`;
    if (!advice.settings.length && !advice.joint) {
      this.advice.replaceChildren(nothing(`Nothing can be said yet: ${said}.`, ...this.actions()), ...this.leftOut());
      return;
    }
    this.advice.replaceChildren(this.summary(said), element("div", { className: "charts" }, ...this.charts()), ...this.leftOut());
  }

  summary(said) {
    const { joint, settings } = this.told, lines = [];
    if (joint) {
      const values = Object.entries(joint.together || {}).map(([path, value]) => `${path.split(".").pop()} ${inWords(value)}`).join(" · ");
      lines.push(element("p", { className: "use", textContent: values }));
      lines.push(element("p", { textContent: `${interval(joint) && `expected ${interval(joint)}, `}${joint.enough ? "sure enough" : "not sure yet"}${typeof joint.expected_regret === "number" ? `; a better one would be ${joint.expected_regret.toFixed(2)} better` : ""}` }));
      if (joint.why) lines.push(element("p", { className: "faint", textContent: inWords(joint.why) }));
      const costs = typeof joint.seconds === "number" ? `about ${joint.seconds.toFixed(1)} s a picture` : "";
      if (costs) lines.push(element("p", { className: "faint", textContent: costs }));
    } else {
      lines.push(...settings.map((each) => element("p", { className: "use", textContent: `${each.parameter} ${inWords(each.value)} — ${each.enough ? "sure enough" : "not sure yet"}` })));
    }
    return element("section", { className: "advice", ariaLabel: "what to use" }, element("h2", { textContent: "What to use" }), ...lines, element("p", { className: "faint", textContent: "from " + said }), element("div", { className: "actions" }, ...this.actions()));
  }

  actions() {
    const { together, rate_next: toRate, next } = this.told, made = [];
    const add = (textContent, onclick, className = "") => made.push(element("button", { textContent, onclick, className }));
    if (toRate?.length) add(`rate these ${toRate.length}`, () => { this.studio.toRate = toRate; this.studio.go("rate", "these"); }, "main");
    else if (this.id) made.push(element("a", { className: "button main", href: "#rate/" + encodeURIComponent(this.id), textContent: "rate" }));
    if (next) add("make these next", () => this.make(next));
    if (together) add("use it in the form", () => { this.studio.views.get("say").job.take(together); this.studio.go("say"); });
    return made;
  }

  async make(job) {
    const item = await this.studio.ask("api/queue", { job });
    if (item) { this.studio.follows = item.id; this.studio.go("watch", ...(item.plan_id ? [item.plan_id] : [])); }
  }

  charts() {
    const { settings, points, heat, joint } = this.told;
    const made = settings.map((each) => {
      const path = Object.keys(points).find((one) => one === each.parameter || one.endsWith("." + each.parameter)) || each.parameter;
      const those = (joint?.curves?.[path] || each.values || []).filter(({ mean, low, high }) => [mean, low, high].every(Number.isFinite));
      const numbers = those.length > 1 && those.every(({ value }) => typeof value === "number");
      const figure = (numbers ? curve : bars)(those, points[path] || [], each.parameter);
      const why = [[`best ${inWords(each.value)}`, interval(each)].filter(Boolean).join(": "), each.why].filter(Boolean).join(". ");
      return element("section", {}, element("h3", { textContent: each.parameter }), figure, element("p", { className: "faint", textContent: why }));
    });
    if (heat) made.push(element("section", {}, element("h3", { textContent: `${heat.y.split(".").pop()} and ${heat.x.split(".").pop()}` }), heatMap(heat)));
    return made;
  }

  leftOut() {
    return (this.told.left_out || []).map((textContent) => element("p", { className: "faint", textContent }));
  }

  heard(event) {
    if (!["rated", "chosen", "AdviceGiven"].includes(event.type)) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.studio.view === this && this.studio.attempt(() => this.load()), 400);
  }

  back() {
    this.studio.attempt(() => this.load());
  }
}
