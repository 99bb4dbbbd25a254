// A plan's pictures as `report_data.js` has them: their settings, and their place on each axis.

import { inWords } from "./elements.js";

export const PICTURE = "picture"; // the axis of the pictures of one step

/** @typedef {{ path: string, name: string, labels: string[], texts: string[], order: number[],
 *   images?: string[], of: (step: any, number: number) => number }} Axis */

/** What sets a picture apart from all others.
 * @param {any} p */
export const key = (p) => p.run_id + "/" + p.image_id;

export class PlanPictures {
  /** @param {any} plain The content of `report_data.js`.
   * @param {{ picture: (step: any, p: any) => string, thumbnail: (step: any, p: any) => string,
   *   start: (name: string) => string }} addresses Where files are. */
  constructor(plain, addresses) {
    this.plain = plain;
    this.steps = plain.steps;
    this.addresses = addresses;
    for (const step of this.steps) step.pictures.forEach((p, n) => {
      Object.assign(p, { step, number: n + 1, run_id: step.run_id });
      p.address = addresses.picture(step, p);
      p.small = p.thumb ? addresses.thumbnail(step, p) : p.address;
    });
  }

  /** @param {any} p @returns {Record<string, unknown>} */
  settingsOf(p) {
    const found = {}, settings = this.plain.settings;
    if (!Array.isArray(p.settings)) return p.settings; // of a single run
    p.settings.forEach((place, n) => { if (place >= 0) found[settings[n][0]] = settings[n][1][place]; });
    return found;
  }

  /** What a picture has on each axis, in words.
   * @param {any} p */
  caption(p) {
    const labels = this.plain.axes.map((axis, n) => axis.labels[p.step.at[n]]);
    return [...labels, "seed " + inWords(this.settingsOf(p).seed)].join(" · ");
  }

  /** Every axis, and the pictures of a step as one more.
   * @returns {Axis[]} */
  axes() {
    const { axes, images, seeds } = this.plain;
    const found = axes.map((axis, n) => ({ ...axis, of: (step) => step.at[n] }));
    const most = this.steps.reduce((most, step) => Math.max(most, step.pictures.length), images || 1);
    const order = Array.from({ length: most }, (_, n) => n);
    const seed = (n) => (seeds && seeds[n] !== undefined ? "seed " + seeds[n] : "picture " + (n + 1));
    const labels = order.map(seed);
    found.push({ path: PICTURE, name: "picture", labels, texts: labels, order, of: (step, n) => n });
    return found;
  }

  /** How many pictures there are. */
  get count() {
    return this.steps.reduce((sum, step) => sum + step.pictures.length, 0);
  }

  /** The thumbnail of a picture that something starts from; "" where its file is gone.
   * @param {unknown} image */
  startOf(image) {
    const name = image && (this.plain.starts || {})[String(image)];
    return name ? this.addresses.start(name) : "";
  }
}
