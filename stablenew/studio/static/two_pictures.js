// Two pictures on top of each other with a slider between them, and the difference of their settings.

import { element, inWords } from "../shared/elements.js";

/** What two pictures were not made with alike, as rows of a table.
 * @param {any} one @param {any} other Pictures as the server tells them. */
export function differences(one, other) {
  const names = [...new Set([...Object.keys(one.settings), ...Object.keys(other.settings)])];
  const differ = names.filter((name) => JSON.stringify(one.settings[name]) !== JSON.stringify(other.settings[name]));
  const rows = differ.map((name) => element("tr", {}, element("th", { scope: "row", textContent: name }), ...[one, other].map((p) => element("td", { textContent: inWords(p.settings[name]), dir: "auto" }))));
  return rows.length ? rows : [element("tr", {}, element("td", { textContent: "their settings are the same" }))];
}

export class TwoPictures {
  constructor() {
    this.left = element("img", { alt: "the first picture" });
    this.right = element("img", { alt: "the second picture", className: "over" });
    this.slider = element("input", { type: "range", min: 0, max: 100, value: 50, ariaLabel: "how much of each picture is seen", oninput: () => this.slide() });
    this.line = element("div", { className: "line" });
    this.layers = element("div", { className: "layers" }, this.left, this.right, this.line);
    this.layers.onpointermove = (event) => { if (event.buttons || event.pointerType === "mouse") this.drawTo(event); };
    this.layers.onpointerdown = (event) => this.drawTo(event);
    this.differences = element("table", { className: "differences" });
    const close = element("button", { textContent: "✕", ariaLabel: "close", className: "close", onclick: () => this.dialog.close() });
    this.dialog = element("dialog", { className: "two", ariaLabel: "two pictures compared" }, this.layers, this.slider, this.differences, close);
  }

  /** @param {any} one @param {any} other Pictures as the server tells them. */
  show(one, other) {
    this.left.src = one.url;
    this.right.src = other.url;
    for (const [image, p] of [[this.left, one], [this.right, other]]) image.classList.toggle("small", p.width < 256);
    this.differences.replaceChildren(...differences(one, other));
    this.slider.value = 50;
    this.dialog.showModal();
    this.slide();
    this.slider.focus();
  }

  drawTo(event) {
    const { left, width } = this.layers.getBoundingClientRect();
    this.slider.value = (100 * (event.clientX - left)) / width;
    this.slide();
  }

  slide() {
    this.right.style.clipPath = `inset(0 0 0 ${this.slider.value}%)`;
    this.line.style.left = `${this.slider.value}%`;
  }
}
