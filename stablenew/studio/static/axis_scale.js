// Where numbers lie along an axis, and which of them are named under it.

const NEAR = 34; // pixels between two names
const DECADES = 8; // from this ratio on an axis is logarithmic, as in the plots of `recommend --plot`

/** @typedef {{ at: (value: number) => number, ticks: number[], log: boolean }} Scale */

/** @param {number[]} values @param {number} from @param {number} to Pixels of the first and the last.
 * @returns {Scale} */
export function scaleOf(values, from, to) {
  const low = Math.min(...values), high = Math.max(...values), log = low > 0 && high / low >= DECADES;
  const put = log ? Math.log : (/** @type {number} */ value) => value;
  const wide = put(high) - put(low) || 1;
  const at = (/** @type {number} */ value) => (low === high ? (from + to) / 2 : from + ((to - from) * (put(value) - put(low))) / wide);
  return { at, log, ticks: low === high ? [low] : apart([low, high, ...(log ? decades(low, high) : round(low, high))], at) };
}

// The first ones win: a later name that would run into one is left out.
function apart(wanted, at) {
  const chosen = [];
  for (const value of wanted) if (chosen.every((each) => Math.abs(at(each) - at(value)) >= NEAR)) chosen.push(value);
  return chosen.sort((a, b) => a - b);
}

function round(low, high) {
  const rough = (high - low) / 6, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= rough) || rough;
  const count = Math.floor(high / step + 1e-9) - Math.ceil(low / step - 1e-9) + 1;
  return Array.from({ length: count }, (_, n) => Number(((Math.ceil(low / step - 1e-9) + n) * step).toPrecision(12)));
}

function decades(low, high) {
  const powers = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) powers.push(power);
  const inside = [1, 5, 2, 3, 7, 4, 6, 8, 9, 1.5].flatMap((digit) => powers.map((power) => Number((digit * 10 ** power).toPrecision(6))));
  return inside.filter((value) => value > low && value < high);
}
