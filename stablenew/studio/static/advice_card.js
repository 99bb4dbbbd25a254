// What to use, how good that is expected to be and how sure; what matters, and what would be cheaper.

import { element, inWords } from "../shared/elements.js";

export const nameOf = (path) => path.split(".").pop();
export const digit = (number) => (typeof number === "number" ? number.toFixed(1) : "–");
const faint = (textContent) => element("p", { className: "faint", textContent });

/** Settings as pairs of a name and a value, side by side.
 * @param {Record<string, any>} settings By path. */
export function settingCards(settings) {
  return element("dl", { className: "together" }, ...Object.entries(settings).map(([path, value]) => element("div", { title: path },
    element("dt", { textContent: nameOf(path) }), element("dd", { textContent: inWords(value), dir: "auto" }))));
}

/** @param {any} told As `api/advice` has it. @param {Node[]} actions What can be done next. */
export function adviceCard(told, actions) {
  const { settings } = told, joint = told.joint || (settings.length === 1 ? settings[0] : null);
  const values = told.joint?.together || Object.fromEntries(settings.map((each) => [each.parameter, each.value]));
  const enough = joint ? joint.enough : settings.every((each) => each.enough);
  const sure = element("span", { className: enough ? "badge sure" : "badge", textContent: enough ? "sure enough" : "not sure yet" });
  const said = `from ${told.ratings} ratings${told.choices ? ` and ${told.choices} choices between two` : ""}`;
  const left = element("div", {}, element("h2", {}, "What to use ", sure), settingCards(values), element("div", { className: "actions" }, ...actions), ...nextList(told));
  const right = element("div", { className: "how-sure" }, ...(typeof joint?.mean === "number" ? [gauge(joint)] : []),
    ...(joint?.why ? [element("p", { textContent: inWords(joint.why) })] : []), ...regret(joint), faint(said));
  return element("section", { className: "advice", ariaLabel: "what to use" }, left, right);
}

// What is worth making next, each a choice of all settings.
function nextList({ next_words: words }) {
  if (!words?.length) return [];
  return [element("details", { className: "plain" }, element("summary", { textContent: "what is made next" }), element("ul", { className: "faint" }, ...words.map((textContent) => element("li", { textContent }))))];
}

function regret(joint) {
  if (typeof joint?.expected_regret !== "number") return [];
  return [faint(`The best may be ${joint.expected_regret.toFixed(2)} points better${typeof joint.expected_gain === "number" ? `; the next picture may add ${joint.expected_gain.toFixed(2)}` : ""}.`)];
}

// The expected rating and its interval on a line from 1 to 5.
function gauge({ mean, low, high }) {
  const bar = element("div", { className: "bar" }, element("i"), element("b"));
  const place = (value) => `${((Math.max(1, Math.min(5, value)) - 1) / 4) * 100}%`;
  bar.children[0].style.left = place(low);
  bar.children[0].style.right = `calc(100% - ${place(high)})`;
  bar.children[1].style.left = place(mean);
  const words = `expected ${digit(mean)} of 5 (${digit(low)} to ${digit(high)})`;
  return element("div", { className: "gauge" }, element("p", {}, "expected ", element("strong", { textContent: digit(mean) }), ` of 5, from ${digit(low)} to ${digit(high)}`),
    Object.assign(bar, { role: "img", ariaLabel: words }), element("div", { className: "ends", ariaHidden: "true" }, ...[1, 2, 3, 4, 5].map((n) => element("span", { textContent: String(n) }))));
}

/** What matters, as far as it is known. @param {any} told As `api/advice` has it. */
export function mattersSection({ joint, idle = [], undecided = [] }) {
  const shares = Object.entries(joint?.matters || {}).sort(([, one], [, other]) => other - one);
  if (!shares.length) return [];
  const words = (path) => (idle.includes(path) ? "may not matter" : undecided.includes(path) ? "not known yet" : "matters");
  const rows = shares.map(([path, share]) => element("li", { title: path },
    element("span", { textContent: nameOf(path) }), element("meter", { min: 0, max: 1, value: share, ariaLabel: `${nameOf(path)} matters, with a probability of ${Math.round(share * 100)} %` }),
    element("span", { className: "faint", textContent: `${words(path)} (${Math.round(share * 100)} %)` })));
  return [element("section", {}, element("h3", { textContent: "What matters" }), element("ul", { className: "matters" }, ...rows), ...(joint.pair?.words ? [faint(joint.pair.words)] : []))];
}

/** What it costs, and what would be cheaper and as good.
 * @param {any} joint @param {(settings: Record<string, any>) => void} use Takes the cheaper one. */
export function costSection(joint, use) {
  if (typeof joint?.seconds !== "number") return [];
  const { cheaper } = joint, lines = [element("p", { className: "cost-now" }, "about ", element("strong", { textContent: inSeconds(joint.seconds) }), " a picture as advised")];
  if (cheaper) {
    const changed = Object.entries(cheaper.settings).filter(([path, value]) => value !== joint.together[path]);
    const other = changed.map(([path, value]) => `${nameOf(path)} ${inWords(value)} instead of ${inWords(joint.together[path])}`).join(", ");
    const less = cheaper.loss > 0 ? `${cheaper.loss.toFixed(2)} points less` : "no worse";
    lines.push(element("p", { textContent: `As good and cheaper: ${other}: ${inSeconds(cheaper.seconds)} a picture (${(1 / cheaper.share).toFixed(1)} times as fast), ${less}.` }));
    lines.push(element("button", { textContent: "use the cheaper one", onclick: () => use(cheaper.settings) }));
  } else lines.push(faint("Nothing that is as good and clearly cheaper is known."));
  return [element("section", {}, element("h3", { textContent: "What it costs" }), ...lines)];
}

const inSeconds = (seconds) => (seconds < 10 ? seconds.toFixed(2) : Math.round(seconds).toString()) + " s";
