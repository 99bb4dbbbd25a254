// Know: what the ratings say of each setting and of all together, how sure that is, and what to do next.

import { element, inWords } from "../shared/elements.js";
import { adviceCard, costSection, digit, mattersSection, nameOf } from "./advice_card.js";
import { bars, curve, numbersOf } from "./charts.js";
import { save } from "./dry_run.js";
import { heatMap } from "./heat_map.js";
import { Job } from "./job.js";
import { costsOf } from "./known_costs.js";
import { PlanChoice, nothing } from "./plan_choice.js";
import { get, inPath, post } from "./server.js";

const PICTURES = 500; // whose seconds are looked at
const SOON = 400; // milliseconds that ratings are gathered before the advice is asked for again

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
    this.every.parentElement.hidden = !this.id;
    await this.load();
  }

  async load() {
    await this.studio.ratings.sending; // what was rated a moment ago counts
    const plan = this.every.checked ? "" : this.id;
    const [advice, made] = await Promise.all([get("api/advice", { plan }), get("api/pictures", { plan, per_page: PICTURES })]);
    this.told = advice;
    this.costs = costsOf(made.pictures);
    if (!advice.settings.length && !advice.joint) return this.showNothing(made.total);
    const { joint } = advice;
    const beside = [...mattersSection(advice), ...costSection(joint, (settings) => this.useInForm(settings))];
    this.advice.replaceChildren(adviceCard(advice, this.actions()), element("div", { className: "charts beside" }, ...beside),
      element("div", { className: "charts" }, ...this.charts()), ...this.leftOut());
  }

  showNothing(pictures) {
    const { ratings } = this.told;
    const why = !pictures ? "There are no pictures yet." : ratings ? `${ratings} ratings are too few to say something.` : "No picture is rated yet.";
    const hint = "Ten ratings of pictures that differ in a setting are a start: what is expected of each value, and how sure that is, is then told here.";
    const main = pictures ? this.actions() : [element("a", { className: "button main", href: "#say", textContent: "say what to make" })];
    this.advice.replaceChildren(nothing(why, element("p", { className: "hint", textContent: hint }), element("div", { className: "actions" }, ...main)), ...this.leftOut());
  }

  actions() {
    const { rate_next: toRate, next, next_words: words = [], resume } = this.told, made = [];
    const add = (textContent, onclick, className = "") => made.push(element("button", { textContent, onclick, className }));
    if (toRate?.length) add(`rate these ${toRate.length}`, () => { this.studio.toRate = toRate; this.studio.go("rate", "these"); }, "main");
    else if (this.id) made.push(element("a", { className: next || resume ? "button" : "button main", href: "#rate/" + encodeURIComponent(this.id), textContent: "rate" }));
    const main = toRate?.length ? "" : "main";
    if (resume) add("go on with the exploration", () => this.make({ resume }), main);
    else if (next) add(words.length > 1 ? `make these ${words.length} next` : "make this next", () => this.make({ job: next }), main);
    if (Object.keys(this.values).length) {
      add("use it in the form", () => this.useInForm(this.values));
      add("as a plan file", () => this.asPlanFile());
      const so = this.madeSo();
      if (so) made.push(element("a", { className: "button", href: "#use/" + inPath(so), textContent: "a picture made so", title: "and its settings for a WebUI, as JSON, as a workflow" }));
    }
    return made;
  }

  // A rated picture that was made with all that is advised leaves in every form.
  madeSo() {
    const { points } = this.told, sets = Object.entries(this.values).map(([path, value]) => new Set((points[path] || []).filter((point) => point.value === value).map(({ key }) => key)));
    return sets.length ? [...sets[0]].find((key) => sets.every((each) => each.has(key))) : undefined;
  }

  /** The advised settings by path. */
  get values() {
    const { joint, settings } = this.told;
    return joint?.together || Object.fromEntries(settings.map((each) => [each.parameter, each.value]));
  }

  // The plan that the ratings are about, with the advised values in place of what was explored.
  async base() {
    if (!this.id || this.every.checked) return {};
    return (await get(`api/plans/${inPath(this.id)}/job`).catch(() => ({}))).job || {};
  }

  useInForm(settings) {
    return this.studio.attempt(async () => {
      const say = this.studio.views.get("say"), base = await this.base();
      if (Object.keys(base).length) say.job.take(base);
      say.job.settle(settings);
      this.studio.go("say");
    });
  }

  asPlanFile() {
    return this.studio.attempt(async () => {
      const job = new Job(await this.base());
      job.settle(this.values);
      save("advice.toml", (await post("api/plan-file/from-job", { job: job.plain })).text);
    });
  }

  async make(said) {
    const item = await this.studio.ask("api/queue", said);
    if (item) this.studio.follow(item);
  }

  charts() {
    const { settings, points, heat, joint } = this.told;
    const made = settings.map((each) => this.chart(each, joint?.curves?.[each.parameter], points));
    if (heat) made.push(element("section", {}, element("h3", { textContent: `${nameOf(heat.y)} and ${nameOf(heat.x)} together` }), heatMap({ ...heat, x: nameOf(heat.x), y: nameOf(heat.y) }),
      element("p", { className: "faint", textContent: heat.words || "Expected ratings; the framed place is the best." })));
    return made;
  }

  chart(each, joint, points) {
    const path = each.parameter, known = (joint || each.values || []).filter(({ mean, low, high }) => [mean, low, high].every(Number.isFinite));
    const numbers = known.length > 1 && known.every(({ value }) => typeof value === "number");
    const costs = this.costs.get(path) || [], best = this.values[path] ?? each.value;
    const around = { name: nameOf(path), points: points[path] || [], best, costs };
    const expected = typeof each.mean === "number" ? `: ${digit(each.mean)} (${digit(each.low)} to ${digit(each.high)})` : "";
    const alone = [`best by itself ${inWords(each.value)}${expected}`, each.why].filter(Boolean).join("; ");
    const legend = element("p", { className: "legend", ariaHidden: "true" }, ...keys(numbers, around));
    return element("section", { title: path }, element("h3", { textContent: nameOf(path) }), ...(known.length ? [(numbers ? curve : bars)(known, around), legend] : []),
      element("p", { className: "faint", textContent: alone }), ...(known.length ? [numbersOf(known, costs)] : []));
  }

  leftOut() {
    return (this.told.left_out || []).map((textContent) => element("p", { className: "faint", textContent }));
  }

  heard(event) {
    if (!["rated", "chosen", "unchosen", "AdviceGiven"].includes(event.type)) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.studio.view === this && this.studio.attempt(() => this.load()), SOON);
  }

  back() {
    this.studio.attempt(() => this.load());
  }
}

function keys(numbers, around) {
  const key = (className, textContent) => element("span", {}, element("i", { className }), textContent);
  return [key(numbers ? "mean" : "bar", "expected"), key(numbers ? "band" : "interval", "90 % interval"), ...(around.points.length ? [key("dot", "a rating")] : []), ...(around.costs.length > 1 ? [key("cost", "seconds a picture")] : [])];
}
