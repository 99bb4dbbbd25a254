// Two pictures on top of each other with a slider between them, and the difference of their settings.

import { element, inWords } from "../shared/elements.js";

export class TwoPictures {
  constructor() {
    this.left = element("img", { alt: "the first picture" });
    this.right = element("img", { alt: "the second picture", className: "over" });
    this.slider = element("input", { type: "range", min: 0, max: 100, value: 50, ariaLabel: "how much of each picture is seen", oninput: () => this.slide() });
    this.differences = element("table", { className: "differences" });
    const close = element("button", { textContent: "✕", ariaLabel: "close", onclick: () => this.dialog.close() });
    this.dialog = element("dialog", { className: "two", ariaLabel: "two pictures compared" }, element("div", { className: "layers" }, this.left, this.right), this.slider, this.differences, close);
  }

  /** @param {any} one @param {any} other Pictures as the server tells them. */
  show(one, other) {
    this.left.src = one.url;
    this.right.src = other.url;
    const names = [...new Set([...Object.keys(one.settings), ...Object.keys(other.settings)])];
    const differ = names.filter((name) => JSON.stringify(one.settings[name]) !== JSON.stringify(other.settings[name]));
    const rows = differ.map((name) => element("tr", {}, element("th", { scope: "row", textContent: name }), ...[one, other].map((p) => element("td", { textContent: inWords(p.settings[name]) }))));
    this.differences.replaceChildren(...(rows.length ? rows : [element("tr", {}, element("td", { textContent: "their settings are the same" }))]));
    this.slider.value = 50;
    this.slide();
    this.dialog.showModal();
  }

  slide() {
    this.right.style.clipPath = `inset(0 0 0 ${this.slider.value}%)`;
  }
}
