// The report of a plan, opened from disk: its data is a script beside it, and ratings are saved as a file.

import { showAdvice } from "./advice.js";
import { Compare } from "./compare.js";
import { byId, element } from "./elements.js";
import { Grid } from "./grid.js";
import { GridTools } from "./grid_tools.js";
import { PlanPictures, key } from "./pictures.js";
import { KeptRatings } from "./rating.js";

const addresses = {
  picture: (step, p) => (p.path.startsWith("../") ? p.path : `../${step.run_id}/${p.path}`),
  thumbnail: (step, p) => `thumbnails/${key(p).replace("/", "-")}.jpg`,
  start: (name) => name,
};
const report = () => /** @type {any} */ (window).STABLENEW_REPORT;

let data = report() || { axes: [], settings: [], steps: [], ratings: {} };
const ratings = new KeptRatings(data.plan_id);
const count = () => { byId("count").textContent = ratings.unsaved ? ratings.unsaved + " not saved" : ""; };
const grid = new Grid(byId("grid"), {
  ratings, open: (p) => compare.open(p), pinned: (p) => compare.isPinned(p), pin: (p) => compare.pin(p),
});
const compare = new Compare({ grid, ratings, rated: count });
const tools = new GridTools(grid);

function setUp() {
  const pictures = new PlanPictures(data, addresses);
  ratings.take(data.ratings);
  byId("title").textContent = data.title || "StableNew";
  const starts = Object.keys(data.starts || {});
  const from = starts.length === 1 ? starts[0] : "";
  const about = [data.prompt, from && "from " + from.split(/[\\/]/).pop(), data.done ? "" : "still running: this page follows it"];
  tools.show(pictures);
  byId("about").replaceChildren(about.filter(Boolean).join(" — "), ...grid.start(from));
  byId("same").replaceChildren(...(data.same || []).map((line) => element("div", { textContent: line })));
  showAdvice(byId("advice"), data.advice);
  document.title = (data.title || "") + " · StableNew";
  count();
}

function save() {
  const blob = new Blob([JSON.stringify(ratings.file, null, 1)], { type: "application/json" });
  const link = element("a", { href: URL.createObjectURL(blob), download: "ratings-" + data.plan_id + ".json" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// fetch is not allowed from a file; adding the script again is.
function follow() {
  if (data.done) return;
  const script = element("script", { src: "report_data.js?" + Date.now() });
  script.onload = () => {
    script.remove();
    if (report().written !== data.written) { data = report(); setUp(); }
    setTimeout(follow, 2000);
  };
  script.onerror = () => { script.remove(); setTimeout(follow, 5000); };
  document.body.append(script);
}

byId("tools").prepend(...tools.elements);
byId("count").after(tools.shown);
document.body.append(compare.dialog);
byId("save").onclick = save;
document.addEventListener("keydown", (event) => compare.pressed(event));
setUp();
setTimeout(follow, 2000);
