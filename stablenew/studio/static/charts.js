// Curves, bars and heat maps of expected quality, with intervals and single ratings.

import { element, inWords } from "../shared/elements.js";

const WIDE = 420, HIGH = 210, LEFT = 34, BOTTOM = 34, TOP = 10, RIGHT = 12;

function svg(tag, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  made.append(...children);
  return made;
}

const up = (quality) => TOP + (HIGH - TOP - BOTTOM) * (1 - (Math.max(0.5, Math.min(5.5, quality)) - 0.5) / 5);

function frame(name, told, labels, ...inside) {
  const lines = [1, 2, 3, 4, 5].flatMap((n) => [svg("line", { x1: LEFT, x2: WIDE - RIGHT, y1: up(n), y2: up(n), class: "rule" }), svg("text", { x: LEFT - 8, y: up(n) + 4, "text-anchor": "end" }, String(n))]);
  const under = labels.map(([x, text]) => svg("text", { x, y: HIGH - 12, "text-anchor": "middle" }, text));
  return svg("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", "aria-label": `${name}: ${told}`, class: "chart" }, ...lines, ...under, ...inside);
}

const inAll = (values) => values.map(({ value, mean }) => `${inWords(value)} ${mean.toFixed(1)}`).join(", ");
const short = (text) => (text.length > 14 ? text.slice(0, 13) + "…" : text);
const thinned = (labels, most = 8) => labels.filter((_, n) => n % Math.ceil(labels.length / most) === 0);

/** A curve over numbers. @param {any[]} given @param {any[]} points @param {string} name */
export function curve(given, points, name) {
  const values = [...given].sort((a, b) => a.value - b.value), low = values[0].value, high = values[values.length - 1].value;
  const across = (value) => LEFT + 10 + ((WIDE - LEFT - RIGHT - 20) * (value - low)) / (high - low || 1);
  const path = (those) => those.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" ");
  const band = [...values.map((each) => [across(each.value), up(each.high)]), ...[...values].reverse().map((each) => [across(each.value), up(each.low)])];
  const dots = points.filter(({ value }) => typeof value === "number" && value >= low && value <= high).map(({ value, rating }) => svg("circle", { cx: across(value), cy: up(rating), r: 3.5, class: "dot" }));
  return frame(name, inAll(values), thinned(values.map((each) => [across(each.value), short(inWords(each.value))])),
    svg("polygon", { points: path(band), class: "band" }), svg("polyline", { points: path(values.map((each) => [across(each.value), up(each.mean)])), class: "mean" }), ...dots);
}

/** A bar for each name. @param {any[]} values @param {any[]} points @param {string} name */
export function bars(values, points, name) {
  const room = (WIDE - LEFT - RIGHT) / Math.max(1, values.length), wide = Math.min(44, room * 0.6);
  const middle = (n) => LEFT + room * (n + 0.5);
  const drawn = values.flatMap((each, n) => [
    svg("rect", { x: middle(n) - wide / 2, y: up(each.mean), width: wide, height: Math.max(1, HIGH - BOTTOM - up(each.mean)), class: "bar" }, svg("title", {}, inWords(each.value))),
    svg("line", { x1: middle(n), x2: middle(n), y1: up(each.high), y2: up(each.low), class: "interval" }),
    ...points.filter(({ value }) => value === each.value).map(({ rating }) => svg("circle", { cx: middle(n) + wide / 2 + 5, cy: up(rating), r: 3, class: "dot" })),
  ]);
  return frame(name, inAll(values), thinned(values.map((each, n) => [middle(n), short(inWords(each.value))])), ...drawn);
}

/** Two settings at once, as a table of colours and numbers. @param {any} heat */
export function heatMap(heat) {
  const head = element("tr", {}, element("td"), ...heat.x_values.map((value) => element("th", { scope: "col", textContent: inWords(value) })));
  const rows = heat.means.map((row, n) => element("tr", {}, element("th", { scope: "row", textContent: inWords(heat.y_values[n]) }), ...row.map((mean) => {
    const cell = element("td", { textContent: mean === null ? "" : mean.toFixed(1) });
    if (mean !== null) cell.style.background = `hsl(${Math.round((Math.max(1, Math.min(5, mean)) - 1) * 30)} 70% 50% / .38)`;
    return cell;
  })));
  return element("div", { className: "heat" }, element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows)));
}
