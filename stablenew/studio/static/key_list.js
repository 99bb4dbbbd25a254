// The keys, told by `?`: those that work everywhere, and those of each view.

import { element } from "../shared/elements.js";

/** @type {[string, string, [string, string][]][]} */
const KEYS = [
  ["", "Everywhere", [["Alt+1 … Alt+6", "the six views"], ["?", "this list"], ["Esc", "close what is open"], ["Tab, Shift+Tab", "the next and the one before"]]],
  ["say", "Say what", [["Ctrl+Enter", "start, or add to the queue"], ["Enter", "another value of what is explored"]]],
  ["watch", "Watch", [["← →", "the picture before, the next one"], ["Enter", "enlarge it"], ["Shift+Enter", "pin it, to compare the others with it"], ["1 … 5", "rate it"], ["0", "take its rating back"],
    ["Alt+↑ Alt+↓", "move a plan that waits"], ["Delete", "take it out of the queue"]]],
  ["rate", "Rate", [["1 … 5", "rate, and go on"], ["x", "reject it"], ["0", "take its rating back"], ["u", "undo"], ["Space", "the next one"], ["← →", "side by side: another one; of two: the better one"], ["↑ ↓", "of two: both, neither"]]],
  ["use", "Use", [["Enter", "make it with the changed setting"]]],
  ["back", "Look back", [["← → ↑ ↓", "another picture"], ["Enter", "use it"], ["c", "compare it with the next one that is chosen"]]],
];

export class KeyList {
  constructor() {
    this.list = element("div", { className: "lists" });
    const close = element("button", { textContent: "✕", ariaLabel: "close", className: "close", onclick: () => this.dialog.close() });
    this.dialog = element("dialog", { className: "key-list", ariaLabel: "keys" }, element("h2", { textContent: "Keys" }), close, this.list);
    this.dialog.onclick = (event) => { if (event.target === this.dialog) this.dialog.close(); };
  }

  /** @param {string} view The one that is looked at: its keys come first. */
  show(view) {
    const those = [...KEYS.filter(([name]) => name === view), ...KEYS.filter(([name]) => name !== view)];
    this.list.replaceChildren(...those.map(([, title, keys]) => element("section", {}, element("h3", { textContent: title }),
      element("dl", {}, ...keys.flatMap(([key, does]) => [element("dt", {}, element("kbd", { textContent: key })), element("dd", { textContent: does })])))));
    this.dialog.showModal();
  }
}
