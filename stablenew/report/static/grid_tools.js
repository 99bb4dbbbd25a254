// What a person sets of a grid: the axes across and down, the others, the size, the heat map.

import { BESIDE, TOGETHER } from "./arranging.js";
import { choices, element } from "./elements.js";
import { PICTURE } from "./pictures.js";

export class GridTools {
  /** @param {import("./grid.js").Grid} grid */
  constructor(grid) {
    this.grid = grid;
    this.sized = false; // whether somebody chose how large pictures are
    /** @type {{ x: string, y: string } | null} */
    this.before = null;
    this.x = element("select", { id: "x", onchange: () => this.chose("x", "y") });
    this.y = element("select", { id: "y", onchange: () => this.chose("y", "x") });
    this.filters = element("span", { id: "filters" });
    const oninput = () => { this.sized = true; this.resize(this.size.value); };
    this.size = element("input", { type: "range", id: "size", min: 48, max: 420, value: 160, oninput, ariaLabel: "size of the pictures" });
    const onchange = () => { grid.view.heat = this.heat.checked; grid.scoreAll(); };
    this.heat = element("input", { type: "checkbox", id: "heat", onchange });
    this.shown = element("span", { id: "shown" });
    this.elements = [
      element("label", {}, "across ", this.x), this.flip("x", "⇄"), element("label", {}, "down ", this.y), this.flip("y", "⇅"),
      this.filters, element("label", {}, this.size), element("label", { id: "heatlabel" }, this.heat, " heat map"),
    ];
  }

  flip(which, textContent) {
    const onclick = () => { this.grid.view.flipped[which] = !this.grid.view.flipped[which]; this.draw(); };
    const title = "turn the order around";
    return element("button", { id: "flip" + which, title, ariaLabel: `${title} ${which === "x" ? "across" : "down"}`, textContent, onclick });
  }

  resize(pixels) {
    this.size.value = pixels;
    document.documentElement.style.setProperty("--cell", pixels + "px");
  }

  /** Show other data; what somebody chose stays.
   * @param {import("./pictures.js").PlanPictures} pictures */
  show(pictures) {
    this.pictures = pictures;
    const options = /** @type {[string, string][]} */ (pictures.axes().map((axis) => [axis.path, axis.name]));
    this.x.replaceChildren(...choices(options));
    this.y.replaceChildren(...choices([["", "(one row)"], ...options]));
    if (!this.before) {
      const two = pictures.plain.axes.length > 1;
      this.heat.checked = this.grid.view.heat = Object.keys(pictures.plain.ratings).length > 0;
      this.before = { x: two ? options[0][0] : PICTURE, y: options[two ? 1 : 0][0] };
    }
    this.x.value = this.before.x;
    this.y.value = this.before.y;
    this.draw();
  }

  draw() {
    Object.assign(this.grid.view, { x: this.x.value, y: this.y.value });
    this.drawFilters(this.grid.draw(this.pictures));
    if (!this.sized) this.resize(window.innerWidth <= 600 ? 104 : this.grid.panels.length > 1 ? 112 : window.innerWidth >= 2400 ? 260 : 160);
    const there = this.grid.shown.length, all = this.pictures.count, words = (n) => n.toLocaleString("en");
    this.shown.textContent = there < all ? `${words(there)} of ${words(all)} pictures` : "";
  }

  drawFilters(wanted) {
    this.filters.replaceChildren(...[...wanted].map(([axis, value]) => {
      const made = element("select", { dataset: { path: axis.path } });
      made.append(...choices([[BESIDE, "side by side"], [TOGETHER, "all together"], ...axis.order.map((n) => [String(n), axis.labels[n]])]));
      made.value = value;
      made.onchange = () => { this.grid.view.chosen[axis.path] = made.value; this.draw(); };
      return element("label", {}, axis.name + " ", made);
    }));
  }

  // Who takes the other one's axis gives it its own.
  chose(which, other) {
    if (this[which].value === this[other].value) this[other].value = this.before[which];
    if (!this.x.value) this.x.value = this.pictures.axes().find((axis) => axis.path !== this.y.value).path;
    this.before = { x: this.x.value, y: this.y.value };
    this.draw();
  }
}
