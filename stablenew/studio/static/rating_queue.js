// The pictures that are asked about, in an order of chance: one by one, those of a seed together, or two by two.

import { key } from "../shared/pictures.js";
import { get, inPath } from "./server.js";

/** @typedef {"one" | "seed" | "two"} Way */

const TOGETHER = 6; // of one seed that are shown at once, at the most

export class RatingQueue {
  constructor() {
    /** What is asked about at once: one picture or several. @type {any[][]} */
    this.asked = [];
    this.at = 0;
    /** Where something was given, the last one last. @type {number[]} */
    this.given = [];
  }

  get now() {
    return this.asked[this.at];
  }

  get left() {
    return this.asked.length - this.at;
  }

  /** @param {string} plan @param {Way} way @param {boolean} again Rated ones too. */
  async load(plan, way, again) {
    const address = "api/plans/" + inPath(plan);
    this.take(way === "two" ? (await get(address + "/to-compare")).pairs : (await get(address + "/to-rate", { again: again ? 1 : 0 })).pictures, way);
  }

  /** @param {any[]} pictures Or pairs of them. @param {Way} way */
  take(pictures, way) {
    this.asked = way === "two" ? pictures : way === "seed" ? bySeed(pictures) : pictures.map((p) => [p]);
    this.at = 0;
    this.given = [];
  }

  /** What has been made meanwhile comes last.
   * @param {string} plan @param {Way} way @param {boolean} again */
  async extend(plan, way, again) {
    const { asked } = this, there = new Set(way === "two" ? asked.map(nameOf) : asked.flat().map(key)), found = new RatingQueue();
    await found.load(plan, way, again);
    const fresh = way === "two" ? found.asked.filter((pair) => !there.has(nameOf(pair))) : found.asked.map((those) => those.filter((p) => !there.has(key(p))));
    asked.push(...fresh.filter((those) => those.length));
  }
}

// What sets a pair apart, on whatever sides its pictures are.
const nameOf = (pair) => pair.map(key).sort().join();

// The order in which a seed comes up is chance's, as the server gave it.
function bySeed(pictures) {
  const found = new Map();
  for (const p of pictures) {
    const seed = `${p.settings.seed}|${p.settings.prompt}`, groups = found.get(seed) || [];
    if (!groups.length || groups[groups.length - 1].length === TOGETHER) groups.push([]);
    groups[groups.length - 1].push(p);
    found.set(seed, groups);
  }
  return [...found.values()].flat();
}
