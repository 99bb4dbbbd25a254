// Which pictures stand where: an axis across, one down, the others side by side, together, or one value alone.

import { PICTURE } from "./pictures.js";

export const BESIDE = "beside", TOGETHER = "together";
const FEW = 8; // tables side by side, unless somebody asks for more

/** @typedef {import("./pictures.js").Axis} Axis */
/** @typedef {{ shots: any[], failed: any[], td?: any }} Cell */

/** What is done with each axis that is neither across nor down. Few choices are side by side; of more the
 * first, unless a sample would leave that empty.
 * @param {Axis[]} others @param {any} plain @param {Record<string, string>} chosen By somebody.
 * @returns {Map<Axis, string>} */
export function arranged(others, plain, chosen) {
  const sparse = isSparse(plain);
  let tables = 1;
  return new Map(others.map((axis) => {
    if (axis.path in chosen) return [axis, chosen[axis.path]];
    if (axis.path === PICTURE) return [axis, TOGETHER];
    if (tables * axis.order.length > FEW) return [axis, sparse ? TOGETHER : String(axis.order[0])];
    tables *= axis.order.length;
    return [axis, BESIDE];
  }));
}

/** Whether most of what could be made is not.
 * @param {any} plain @returns {boolean} */
export function isSparse(plain) {
  return 2 * plain.count < plain.axes.reduce((product, axis) => product * axis.order.length, 1);
}

/** The steps by table and cell, in one pass.
 * @param {any[]} steps @param {Axis} x @param {Axis | undefined} y @param {Map<Axis, string>} wanted
 * @returns {{ beside: Axis[], tables: Map<string, Map<string, Cell>> }} */
export function sorted(steps, x, y, wanted) {
  const beside = [...wanted.keys()].filter((axis) => wanted.get(axis) === BESIDE);
  const fixed = [...wanted].filter(([, value]) => value !== BESIDE && value !== TOGETHER);
  const every = [x, y, ...beside, ...fixed.map(([axis]) => axis)];
  const numbers = every.find((axis) => axis && axis.path === PICTURE)?.order || [0];
  const tables = new Map();
  const put = (step, n, p) => {
    if (fixed.some(([axis, value]) => axis.of(step, n) !== Number(value))) return;
    const table = beside.map((axis) => axis.of(step, n)).join();
    if (!tables.has(table)) tables.set(table, new Map());
    const cells = tables.get(table), at = x.of(step, n) + "|" + (y ? y.of(step, n) : "");
    if (!cells.has(at)) cells.set(at, { shots: [], failed: [] });
    if (p) cells.get(at).shots.push(p); else cells.get(at).failed.push(step);
  };
  for (const step of steps) {
    if (step.pictures.length) step.pictures.forEach((p, n) => put(step, n, p));
    else if (!["succeeded", "reused"].includes(step.outcome)) numbers.forEach((n) => put(step, n));
  }
  return { beside, tables };
}

/** The places of each combination of axes, the first axis changing quickest.
 * @param {Axis[]} axes @returns {Generator<number[]>} */
export function* combined(axes) {
  if (!axes.length) { yield []; return; }
  for (const rest of combined(axes.slice(1))) for (const place of axes[0].order) yield [place, ...rest];
}
