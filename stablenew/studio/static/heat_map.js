// Expected quality over two settings at once: colours with a legend, both axes named.

import { inWords } from "../shared/elements.js";
import { svg } from "./charts.js";

const WIDE = 460, LEFT = 64, TOP = 8, SIDE = 300, LEGEND = 16;
const NEAR = 40, NEAR_DOWN = 16; // pixels between two names across, and down
const WRITTEN = 34; // pixels that a cell needs to have its number written in it
const WHITE = 3.7; // up to here black letters have 4.5:1 on the colour, from here on white ones

/** @param {{ x: string, y: string, x_values: any[], y_values: any[], means: (number | null)[][] }} heat */
export function heatMap(heat) {
  const across = (WIDE - LEFT - 70) / heat.x_values.length, down = SIDE / heat.y_values.length;
  const all = heat.means.flat().filter((mean) => mean !== null), best = Math.max(...all);
  // Numbers grow upwards, as on every chart; names stay in their order.
  const numbers = heat.y_values.every((value) => typeof value === "number");
  const row = (n) => (numbers ? heat.y_values.length - 1 - n : n);
  const cells = heat.means.flatMap((means, n) => means.map((mean, m) => cell(heat, { mean, n, m, best, across, down, row: row(n) })));
  const x = named(heat.x_values.map((value, m) => [LEFT + across * (m + 0.5), value]), NEAR)
    .map(([at, value]) => svg("text", { x: at, y: TOP + SIDE + 18, "text-anchor": "middle" }, short(value)));
  const y = named(heat.y_values.map((value, n) => [TOP + down * (row(n) + 0.5), value]), NEAR_DOWN)
    .map(([at, value]) => svg("text", { x: LEFT - 6, y: at + 4, "text-anchor": "end" }, short(value)));
  const middle = TOP + SIDE / 2, place = where(heat, best);
  const words = { viewBox: `0 0 ${WIDE} ${TOP + SIDE + 44}`, role: "img", class: "chart heat",
    "aria-label": `${heat.y} and ${heat.x}: best ${rating(best).toFixed(1)} at ${place}, worst ${rating(Math.min(...all)).toFixed(1)}` };
  return svg("svg", words, ...cells, ...x, ...y,
    svg("text", { x: LEFT + (WIDE - LEFT - 70) / 2, y: TOP + SIDE + 38, "text-anchor": "middle", class: "title" }, heat.x),
    svg("text", { x: 12, y: middle, "text-anchor": "middle", transform: `rotate(-90 12 ${middle})`, class: "title" }, heat.y), ...legend());
}

function cell(heat, { mean, n, m, best, across, down, row }) {
  if (mean === null) return svg("g", {});
  const x = LEFT + across * m, y = TOP + down * row;
  const made = svg("rect", { x, y, width: across + 0.4, height: down + 0.4, class: mean === best ? "tile top" : "tile" },
    svg("title", {}, `${heat.x} ${inWords(heat.x_values[m])}, ${heat.y} ${inWords(heat.y_values[n])}: ${rating(mean).toFixed(1)}`));
  made.style.fill = colour(mean);
  if (across < WRITTEN || down < 18) return made;
  return svg("g", {}, made, svg("text", { x: x + across / 2, y: y + down / 2 + 4, "text-anchor": "middle", class: mean > WHITE ? "on dark" : "on" }, rating(mean).toFixed(1)));
}

// A rating lies between 1 and 5, whatever a line that is drawn on says.
const rating = (mean) => Math.max(1, Math.min(5, mean));

// One colour that gets stronger: it can be told apart without telling red from green.
const colour = (mean) => `color-mix(in oklab, var(--high) ${Math.round(((rating(mean) - 1) / 4) * 100)}%, var(--low))`;

function legend() {
  const x = WIDE - 50, piece = SIDE / 40;
  return [
    ...Array.from({ length: 40 }, (_, n) => {
      const made = svg("rect", { x, y: TOP + SIDE - piece * (n + 1), width: LEGEND, height: piece + 0.4 });
      made.style.fill = colour(1 + (n + 0.5) / 10);
      return made;
    }),
    ...[1, 2, 3, 4, 5].map((n) => svg("text", { x: x + LEGEND + 6, y: TOP + SIDE - (SIDE * (n - 1)) / 4 + (n === 5 ? 9 : n === 1 ? 0 : 4) }, String(n))),
  ];
}

function named(places, near) {
  const chosen = [];
  const ends = [places[0], places[places.length - 1], ...places];
  for (const each of ends) if (chosen.every(([at]) => Math.abs(at - each[0]) >= near)) chosen.push(each);
  return chosen;
}

function where(heat, best) {
  const n = heat.means.findIndex((means) => means.includes(best));
  return `${heat.x} ${inWords(heat.x_values[heat.means[n].indexOf(best)])}, ${heat.y} ${inWords(heat.y_values[n])}`;
}

const short = (value) => { const text = inWords(value); return text.length > 9 ? text.slice(0, 8) + "…" : text; };
