// Elements of the page; every text that comes from outside goes through here, as text.

/** The element that the page has under an id.
 * @param {string} id @returns {any} */
export const byId = (id) => document.getElementById(id);

/** A new element with properties (`dataset` and ARIA's among them) and children.
 * @param {string} tag @param {Record<string, any>} [properties] @param {...(Node | string)} children
 * @returns {any} */
export function element(tag, properties = {}, ...children) {
  const { dataset = {}, ...others } = properties;
  const made = Object.assign(document.createElement(tag), others);
  Object.assign(made.dataset, dataset);
  made.append(...children);
  return made;
}

/** A value in words.
 * @param {unknown} value */
export const inWords = (value) => (value === null || value === undefined ? "–" : String(value));

/** The choices of a select.
 * @param {Iterable<[string, string]>} pairs Of value and text. */
export const choices = (pairs) =>
  [...pairs].map(([value, textContent]) => element("option", { value, textContent }));
