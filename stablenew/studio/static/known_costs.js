// What pictures took to be made, by each value of what was varied.

/** @param {any[]} pictures As `api/pictures` has them.
 * @returns {Map<string, import("./charts.js").Cost[]>} By the path of a setting. */
export function costsOf(pictures) {
  const found = new Map();
  for (const { varied, seconds, reused_from: reused } of pictures) {
    if (reused || !(seconds > 0)) continue;
    for (const [path, value] of Object.entries(varied)) {
      if (!found.has(path)) found.set(path, new Map());
      const cost = found.get(path).get(value) || { value, seconds: 0, pictures: 0 };
      cost.seconds = (cost.seconds * cost.pictures + seconds) / (cost.pictures + 1);
      cost.pictures++;
      found.get(path).set(value, cost);
    }
  }
  return new Map([...found].map(([path, costs]) => [path, [...costs.values()]]));
}
