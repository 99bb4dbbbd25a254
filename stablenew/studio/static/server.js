// What the page asks of the studio's server; addresses are relative, for it may be mounted below a path.

/** What the server said no to: its errors, each with its field. */
export class Refused extends Error {
  /** @param {number} status @param {{ field: string | null, message: string }[]} errors */
  constructor(status, errors) {
    super(errors.map(inOneLine).join("\n"));
    this.status = status;
    this.errors = errors;
  }
}

/** Nobody answered. */
export class Away extends Error {}

/** An error with its field in front, where it has one.
 * @param {{ field: string | null, message: string }} error */
export const inOneLine = ({ field, message }) => (field ? `${field}: ${message}` : message);

/** @param {string} address @param {RequestInit} [asked] */
async function answer(address, asked) {
  let response;
  try {
    response = await fetch(address, asked);
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Away("the studio does not answer");
  }
  if (response.ok) return response;
  const told = await response.json().catch(() => null);
  throw new Refused(response.status, told?.errors || [{ field: null, message: `the studio answered ${response.status}` }]);
}

/** @param {string} address @param {Record<string, unknown>} [query] What is empty is left out, a list says its name again.
 * @param {AbortSignal} [signal] @returns {Promise<any>} */
export async function get(address, query = {}, signal) {
  return (await answer(withQuery(address, query), { signal })).json();
}

/** @param {string} address @returns {Promise<string>} */
export async function getText(address) {
  return (await answer(address)).text();
}

/** @param {string} address @param {unknown} [said] @param {AbortSignal} [signal] @returns {Promise<any>} */
export async function post(address, said = {}, signal) {
  const headers = { "Content-Type": "application/json" };
  return (await answer(address, { method: "POST", headers, body: JSON.stringify(said), signal })).json();
}

/** @param {string} address @param {File} file @returns {Promise<any>} */
export async function upload(address, file) {
  const headers = { "Content-Type": "application/octet-stream" };
  return (await answer(withQuery(address, { name: file.name }), { method: "POST", headers, body: file })).json();
}

/** @param {string} address @param {Record<string, unknown>} query */
function withQuery(address, query) {
  const each = Object.entries(query).flatMap(([name, value]) => [value].flat().map((one) => /** @type {[string, unknown]} */ ([name, one])));
  const given = each.filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return given.length ? address + "?" + new URLSearchParams(given.map(([name, value]) => [name, String(value)])) : address;
}

/** @param {string} id A run's, a plan's or a picture's (`RUN/IMAGE`) in an address. */
export const inPath = (id) => id.split("/").map(encodeURIComponent).join("/");
