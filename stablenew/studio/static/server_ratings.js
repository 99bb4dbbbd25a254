// Ratings that the server keeps as soon as they are given; what it did not hear is said again when it is back.

import { key } from "../shared/pictures.js";
import { Away, post } from "./server.js";

const UNSENT = "stablenew-studio-unsent";

/** @typedef {import("../shared/rating.js").Ratings} Ratings */

/** @implements {Ratings} */
export class ServerRatings {
  /** @param {{ changed: (name: string) => void, failed: (error: Error) => void }} does */
  constructor(does) {
    this.does = does;
    /** @type {Map<string, number>} */
    this.known = new Map();
    /** What was given and not heard, by picture: 0 takes back.
     * @type {Map<string, { rating: number, more: object }>} */
    this.unsent = new Map();
    try { this.unsent = new Map(JSON.parse(localStorage.getItem(UNSENT) || "[]")); } catch { /* nothing kept */ }
    this.sending = Promise.resolve();
  }

  /** What the server says of some pictures.
   * @param {Iterable<[string, number | null]>} pairs */
  learn(pairs) {
    for (const [name, rating] of pairs) {
      if (this.unsent.has(name)) continue;
      if (rating) this.known.set(name, rating); else this.known.delete(name);
    }
  }

  /** @param {any} p */
  of(p) {
    const unsent = this.unsent.get(key(p));
    return unsent ? unsent.rating || undefined : this.known.get(key(p));
  }

  /** @param {any} p @param {number} rating 0 takes it back. @param {object} [more] Tags or a note. */
  give(p, rating, more = {}) {
    this.unsent.set(key(p), { rating, more });
    this.keep();
    this.does.changed(key(p));
    return this.send();
  }

  /** Say what was not heard yet, in the order in which it was given. */
  send() {
    this.sending = this.sending.then(() => this.sendAll());
    return this.sending;
  }

  async sendAll() {
    for (const [name, { rating, more }] of [...this.unsent]) {
      const cut = name.lastIndexOf("/");
      const said = { run_id: name.slice(0, cut), image_id: name.slice(cut + 1), rating: rating || null, ...more };
      try {
        await post("api/ratings", said);
      } catch (error) {
        if (error instanceof Away) { this.does.failed(error); return; } // it is kept, and said again
        this.heard(name, rating, this.known.get(name) || null);
        this.does.failed(/** @type {Error} */ (error));
        continue;
      }
      this.heard(name, rating, rating || null);
    }
  }

  // One that was changed meanwhile is still to be said.
  heard(name, said, now) {
    if (this.unsent.get(name)?.rating === said) this.unsent.delete(name);
    this.keep();
    this.learn([[name, now]]);
    this.does.changed(name);
  }

  keep() {
    try { localStorage.setItem(UNSENT, JSON.stringify([...this.unsent])); } catch { /* a browser without storage */ }
  }
}
