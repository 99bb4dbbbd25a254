// Curves and bars of expected quality, with intervals, single ratings, and below what a picture costs.

import { element, inWords } from "../shared/elements.js";
import { scaleOf } from "./axis_scale.js";

const WIDE = 420, LEFT = 40, RIGHT = 14, TOP = 10, FLOOR = 176, COSTS = 46, NAMES = 122, ROW = 25;
const MOST_BARS = 16;

/** @typedef {{ value: any, mean: number, low: number, high: number }} Point */
/** @typedef {{ value: any, seconds: number, pictures: number }} Cost */
/** @typedef {{ name: string, points: { value: any, rating: number }[], best: any, costs: Cost[] }} Around */

/** @param {string} tag @param {Record<string, unknown>} attributes @param {...(Node | string)} children
 * @returns {SVGElement} */
export function svg(tag, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  made.append(...children);
  return made;
}

const up = (quality) => TOP + (FLOOR - TOP) * (1 - (Math.max(0.7, Math.min(5.3, quality)) - 0.7) / 4.6);
const short = (text, most = 13) => (text.length > most ? text.slice(0, most - 1) + "…" : text);
const inAll = (values) => values.map(({ value, mean }) => `${inWords(value)} ${mean.toFixed(1)}`).join(", ");
const seconds = (number) => (number < 10 ? number.toFixed(1) : Math.round(number).toString()) + " s";

function frame(around, told, labels, high, ...inside) {
  const lines = [1, 2, 3, 4, 5].flatMap((n) => [
    svg("line", { x1: LEFT, x2: WIDE - RIGHT, y1: up(n), y2: up(n), class: "rule" }),
    svg("text", { x: LEFT - 8, y: up(n) + 4, "text-anchor": "end" }, String(n)),
  ]);
  const under = labels.map(([x, text]) => svg("text", { x, y: FLOOR + 18, "text-anchor": "middle" }, text));
  const left = svg("text", { x: 11, y: (TOP + FLOOR) / 2, "text-anchor": "middle", transform: `rotate(-90 11 ${(TOP + FLOOR) / 2})`, class: "title" }, "rating");
  const name = svg("text", { x: (LEFT + WIDE - RIGHT) / 2, y: FLOOR + 36, "text-anchor": "middle", class: "title" }, around.name);
  const words = { viewBox: `0 0 ${WIDE} ${high}`, role: "img", "aria-label": `${around.name}: expected rating ${told}`, class: "chart" };
  return svg("svg", words, ...lines, ...under, left, name, ...inside);
}

const highOf = (around) => FLOOR + 44 + (around.costs.length > 1 ? COSTS : 0);

/** A curve over numbers. @param {Point[]} given @param {Around} around */
export function curve(given, around) {
  const values = [...given].sort((a, b) => a.value - b.value);
  const numbers = values.map(({ value }) => value), scale = scaleOf(numbers, LEFT + 12, WIDE - RIGHT - 12);
  const path = (those) => those.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" ");
  const band = [...values.map((each) => [scale.at(each.value), up(each.high)]), ...[...values].reverse().map((each) => [scale.at(each.value), up(each.low)])];
  const inside = ({ value }) => typeof value === "number" && value >= numbers[0] && value <= numbers[numbers.length - 1];
  const best = inside({ value: around.best }) ? [svg("line", { x1: scale.at(around.best), x2: scale.at(around.best), y1: TOP, y2: FLOOR, class: "best" })] : [];
  const marks = values.map((each) => svg("circle", { cx: scale.at(each.value), cy: up(each.mean), r: 7, class: "reading" },
    svg("title", {}, told(each))));
  const costs = around.costs.filter(inside);
  return frame(around, inAll(values), scale.ticks.map((tick) => [scale.at(tick), inWords(tick)]), highOf({ costs }),
    svg("polygon", { points: path(band), class: "band" }), ...best,
    svg("polyline", { points: path(values.map((each) => [scale.at(each.value), up(each.mean)])), class: "mean" }),
    ...dots(around.points.filter(inside), (point) => scale.at(point.value)), ...marks, ...costStrip(costs, (cost) => scale.at(cost.value)));
}

/** A bar for each name, the best on top. @param {Point[]} given @param {Around} around */
export function bars(given, around) {
  const values = [...given].sort((a, b) => b.mean - a.mean).slice(0, MOST_BARS);
  const floor = TOP + ROW * values.length, costs = new Map(around.costs.map((each) => [each.value, each.seconds]));
  const right = WIDE - (costs.size > 1 ? 52 : RIGHT), along = (quality) => NAMES + ((right - NAMES) * (Math.max(0.7, Math.min(5.1, quality)) - 0.7)) / 4.4;
  const lines = [1, 2, 3, 4, 5].flatMap((n) => [svg("line", { x1: along(n), x2: along(n), y1: TOP, y2: floor, class: "rule" }), svg("text", { x: along(n), y: floor + 16, "text-anchor": "middle" }, String(n))]);
  const rows = values.flatMap((each, n) => {
    const middle = TOP + ROW * (n + 0.5), those = around.points.filter((point) => point.value === each.value);
    return [
      svg("text", { x: NAMES - 8, y: middle + 4, "text-anchor": "end", class: each.value === around.best ? "title" : "" }, short(inWords(each.value), 17)),
      svg("rect", { x: NAMES, y: middle - 7, width: Math.max(1, along(each.mean) - NAMES), height: 14, rx: 3, class: each.value === around.best ? "bar chosen" : "bar" }, svg("title", {}, told(each))),
      svg("line", { x1: along(each.low), x2: along(each.high), y1: middle, y2: middle, class: "interval" }),
      ...dots(those, (point) => along(point.rating), () => middle),
      ...(costs.size > 1 && costs.has(each.value) ? [svg("text", { x: WIDE - 4, y: middle + 4, "text-anchor": "end", class: "costs" }, seconds(costs.get(each.value)))] : []),
    ];
  });
  const words = { viewBox: `0 0 ${WIDE} ${floor + 38}`, role: "img", "aria-label": `${around.name}: expected rating ${inAll(values)}`, class: "chart" };
  return svg("svg", words, ...lines, ...rows, svg("text", { x: (NAMES + right) / 2, y: floor + 33, "text-anchor": "middle", class: "title" }, "rating"));
}

const told = (each) => `${inWords(each.value)}: ${each.mean.toFixed(1)}, from ${each.low.toFixed(1)} to ${each.high.toFixed(1)}`;

// Ratings of one value lie on each other: the more there are, the larger the dot.
function dots(points, across, down = (point) => up(point.rating)) {
  const counted = new Map();
  for (const point of points) {
    const place = across(point).toFixed(1) + "|" + point.rating;
    counted.set(place, { point, n: (counted.get(place)?.n || 0) + 1 });
  }
  return [...counted.values()].map(({ point, n }) => svg("circle", { cx: across(point), cy: down(point), r: Math.min(8, 2.4 + Math.sqrt(n)), class: "dot" },
    svg("title", {}, `${inWords(point.value)}: rated ${point.rating}${n > 1 ? `, ${n} times` : ""}`)));
}

function costStrip(costs, across) {
  if (costs.length < 2) return [];
  const most = Math.max(...costs.map((cost) => cost.seconds)), floor = FLOOR + 44 + COSTS - 4, tall = COSTS - 20;
  let last = -100;
  return costs.sort((a, b) => across(a) - across(b)).flatMap((cost) => {
    const x = across(cost), y = floor - (tall * cost.seconds) / (most || 1), named = x - last >= 34;
    if (named) last = x;
    return [svg("rect", { x: x - 5, y, width: 10, height: Math.max(1, floor - y), rx: 2, class: "cost" }, svg("title", {}, `${inWords(cost.value)}: ${seconds(cost.seconds)} a picture`)),
      ...(named ? [svg("text", { x, y: y - 4, "text-anchor": "middle" }, seconds(cost.seconds))] : [])];
  });
}

/** The numbers of a chart, for whoever reads them.
 * @param {Point[]} values @param {Cost[]} costs */
export function numbersOf(values, costs) {
  const cost = new Map(costs.map((each) => [each.value, each]));
  const cells = (tag, those) => those.map((textContent) => element(tag, { textContent }));
  const rows = values.map((each) => element("tr", {}, element("th", { scope: "row", textContent: inWords(each.value) }),
    ...cells("td", [each.mean.toFixed(1), `${each.low.toFixed(1)} to ${each.high.toFixed(1)}`, cost.has(each.value) ? seconds(cost.get(each.value).seconds) : ""])));
  const head = element("tr", {}, ...["value", "expected", "90 % interval", "a picture takes"].map((textContent) => element("th", { scope: "col", textContent })));
  const table = element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows));
  return element("details", { className: "numbers" }, element("summary", { textContent: "as numbers" }), element("div", { className: "wide" }, table));
}
