// The ratings of pictures: what is known of them, and what this browser has given and nobody has taken yet.

import { key } from "./pictures.js";

/** @typedef {{ of: (p: any) => number | undefined, give: (p: any, rating: number) => void }} Ratings */

/** Ratings that this browser keeps until they are saved as a file.
 * @implements {Ratings} */
export class KeptRatings {
  /** @param {string} plan Its id. */
  constructor(plan) {
    this.plan = plan;
    this.stored = "stablenew-ratings-" + plan;
    /** @type {Record<string, number>} */
    this.taken = {};
    /** @type {Record<string, number>} */
    this.own = {};
    try { this.own = JSON.parse(localStorage.getItem(this.stored) || "{}"); } catch { /* a browser without storage */ }
  }

  /** What the page's data says has been taken.
   * @param {Record<string, number>} taken */
  take(taken) {
    this.taken = taken;
    for (const name of Object.keys(this.own)) if (taken[name] === this.own[name]) delete this.own[name];
  }

  /** @param {any} p */
  of(p) {
    return key(p) in this.own ? this.own[key(p)] : this.taken[key(p)];
  }

  /** @param {any} p @param {number} rating 0 takes it back. */
  give(p, rating) {
    if (rating) this.own[key(p)] = rating; else delete this.own[key(p)];
    try { localStorage.setItem(this.stored, JSON.stringify(this.own)); } catch { /* a browser without storage */ }
  }

  get unsaved() {
    return Object.keys(this.own).length;
  }

  /** What `stablenew rate --from` takes. */
  get file() {
    const ratings = Object.entries(this.own).map(([name, rating]) => {
      const cut = name.lastIndexOf("/");
      return { run_id: name.slice(0, cut), image_id: name.slice(cut + 1), rating };
    });
    return { schema: "stablenew.ratings/1", plan_id: this.plan, ratings };
  }
}
