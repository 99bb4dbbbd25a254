// The advice on the page: these settings together, what else is known, and the plot of it.

import { element } from "./elements.js";

/** Show the advice; nothing where there is none yet.
 * @param {HTMLElement} place
 * @param {{settings: [string, string][], lines: string[], plot: string} | null | undefined} advice */
export function showAdvice(place, advice) {
  if (!advice) return place.replaceChildren();
  const open = place.querySelector("details")?.open ?? true;
  const names = advice.settings.map(([path, value]) => `${path.split(".").pop()} ${value}`);
  place.replaceChildren(element("details", { open },
    element("summary", { textContent: "best together: " + names.join(", ") }),
    element("ul", {}, ...advice.lines.map((textContent) => element("li", { textContent }))),
    element("img", { src: advice.plot, alt: "what is believed of each setting's values" })));
}
