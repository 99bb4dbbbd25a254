// The window: six views, one of them at a time, and what they share.

import { byId, element } from "../shared/elements.js";
import { KeyList } from "./key_list.js";
import { Live } from "./live.js";
import { LookBack } from "./look_back.js";
import { Know } from "./know.js";
import { Rate } from "./rate.js";
import { Say } from "./say.js";
import { get, inPath, post } from "./server.js";
import { ServerRatings } from "./server_ratings.js";
import { Use } from "./use.js";
import { Watch } from "./watch.js";

const BEFORE = 60; // events that are told again when the page is opened: of the step that is under way

const holdsFiles = (event) => event.dataTransfer.types.includes("Files");

class Studio {
  constructor() {
    /** @type {any} */
    this.state = { servers: [], queue: [], interrupted: [] };
    /** The id of the item of the queue whose plan Watch shows once it begins. */
    this.follows = "";
    /** @type {Map<any, Promise<any>>} */
    this.openings = new Map();
    /** Pictures that Rate is to ask about. @type {any[]} */
    this.toRate = [];
    this.plan = localStorage.getItem("stablenew-studio-plan") || ""; // the one that is looked at
    /** What was told last of the step under way, by type: a view that is opened in its middle shows it.
     * @type {Map<string, any>} */
    this.making = new Map();
    /** @type {File[]} What was dropped onto the page, until the form takes it. */
    this.dropped = [];
    this.ratings = new ServerRatings({
      changed: (name) => this.view?.rated?.(name),
      failed: (error) => this.tell(error.message, true),
    });
    this.live = new Live({ heard: (event) => this.heard(event), connected: (yes) => this.connected(yes) });
    this.views = new Map(/** @type {[string, any][]} */ ([
      ["say", new Say(this)], ["watch", new Watch(this)], ["rate", new Rate(this)],
      ["know", new Know(this)], ["use", new Use(this)], ["back", new LookBack(this)],
    ]));
  }

  async start() {
    const names = [["say", "Say what"], ["watch", "Watch"], ["rate", "Rate"], ["know", "Know"], ["use", "Use"], ["back", "Look back"]];
    byId("views").append(...names.map(([name, textContent], n) =>
      element("a", { href: "#" + name, textContent, dataset: { view: name }, title: `${textContent} (Alt+${n + 1})` })));
    byId("skip").onclick = (event) => { event.preventDefault(); byId("view").focus(); };
    this.keys = new KeyList();
    document.body.append(this.keys.dialog);
    byId("help").onclick = () => this.keys.show(this.name);
    document.addEventListener("keydown", (event) => this.pressed(event, names));
    document.addEventListener("dragover", (event) => holdsFiles(event) && event.preventDefault());
    document.addEventListener("drop", (event) => this.drop(event));
    await this.connect();
    addEventListener("hashchange", () => this.route()); // not before: a view would be opened twice, and lose a key
    this.route();
  }

  // The state first, so that what is told of a plan under way begins where this page begins to look.
  async connect() {
    try {
      this.state = await get("api/state");
      const running = this.running;
      const plan = running?.plan_id ? await get("api/plans/" + inPath(running.plan_id)).catch(() => null) : null;
      if (running?.plan_id && !location.hash) this.plan = running.plan_id;
      this.live.open(plan ? `${running.plan_id}/${Math.max(0, plan.sequence - BEFORE)}` : "");
    } catch (error) {
      this.tell(/** @type {Error} */ (error).message, true);
      this.live.open();
    }
    this.showState();
  }

  get running() {
    return this.state.queue.find((item) => ["running", "paused", "stopping"].includes(item.state));
  }

  pressed(event, names) {
    const digit = event.altKey && !event.ctrlKey && /^Digit([1-6])$/.exec(event.code);
    const typing = /INPUT|SELECT|TEXTAREA/.test(event.target.tagName);
    if (this.keys.dialog.open) return;
    if (event.key === "?" && !typing && !document.querySelector("dialog[open]")) {
      this.keys.show(this.name);
      event.preventDefault();
    } else if (digit) {
      location.hash = names[Number(digit[1]) - 1][0];
      event.preventDefault();
    } else if (!event.defaultPrevented) this.view?.pressed?.(event);
  }

  // Wherever it falls: a browser would show the file in place of this page.
  drop(event) {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    this.dropped = [...event.dataTransfer.files];
    this.go("say");
  }

  route() {
    const [name, ...rest] = location.hash.slice(1).split("/").map(decodeURIComponent);
    const view = this.views.get(name) || this.views.get(this.state.queue.length ? "watch" : "say");
    this.name = [...this.views].find(([, each]) => each === view)?.[0];
    if (this.view && this.view !== view) this.view.close?.();
    this.view = view;
    for (const link of byId("views").children) link.ariaCurrent = link.dataset.view === this.name ? "page" : null;
    byId("views").querySelector("[aria-current]").scrollIntoView({ inline: "nearest", block: "nearest" }); // on a telephone they are a row that scrolls
    document.title = `${byId("views").querySelector("[aria-current]").textContent} · StableNew studio`;
    byId("view").replaceChildren(view.root);
    byId("view").className = this.name;
    // One opening of a view after the other: an older one that took longer does not draw over a newer one.
    const asked = this.asked = {}, before = this.openings.get(view) || Promise.resolve();
    this.openings.set(view, before.then(() => this.asked === asked && this.attempt(() => view.open(...rest))));
  }

  /** Look at a plan from now on. @param {string} id */
  lookAt(id) {
    this.plan = id;
    try { localStorage.setItem("stablenew-studio-plan", id); } catch { /* a browser without storage */ }
  }

  /** @param {string} view @param {...string} rest */
  go(view, ...rest) {
    const hash = "#" + [view, ...rest.flatMap((each) => each.split("/"))].map(encodeURIComponent).join("/");
    if (location.hash === hash) this.route(); else location.hash = hash;
  }

  /** Watch what was put into the queue, as soon as it begins. @param {any} item */
  follow(item) {
    this.follows = item.id;
    this.go("watch", ...(item.plan_id ? [item.plan_id] : []));
  }

  /** Do something that may be refused, and say so then.
   * @param {() => any} work */
  async attempt(work) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof DOMException && error.name === "AbortError")) this.tell(/** @type {Error} */ (error).message || String(error), true);
      return undefined;
    }
  }

  /** @param {string} address @param {unknown} [said] */
  ask(address, said) {
    return this.attempt(() => post(address, said));
  }

  /** @param {string} text @param {boolean} [wrong] */
  tell(text, wrong = false) {
    const made = element("p", { textContent: text, className: wrong ? "wrong" : "" });
    byId("told").append(made);
    while (byId("told").children.length > 4) byId("told").firstChild.remove();
    setTimeout(() => made.remove(), wrong ? 9000 : 4500);
  }

  connected(yes) {
    if (yes !== this.isConnected) byId("connection").textContent = yes ? "" : "the studio does not answer: waiting for it";
    if (yes && this.isConnected === false) { this.ratings.send(); this.view?.back?.(); }
    this.isConnected = yes;
    document.body.classList.toggle("away", !yes);
  }

  heard(event) {
    if (event.type === "hello") this.state = event.state;
    else if (event.type === "queue") Object.assign(this.state, { queue: event.items, held: event.held });
    else if (event.type === "servers") this.state.servers = event.servers;
    else if (event.type === "rated") this.ratings.learn([[`${event.run_id}/${event.image_id}`, event.rating]]);
    else if (event.type === "closing") this.tell("the studio has ended; this page goes on when it is started again", true);
    else if (event.type === "lost") this.attempt(() => this.lost());
    this.remember(event);
    if (["hello", "queue", "servers"].includes(event.type)) this.showState();
    if (event.type === "rated") this.view?.rated?.(`${event.run_id}/${event.image_id}`);
    this.view?.heard?.(event);
  }

  remember(event) {
    if (["StepStarted", "RunFinished", "PlanFinished"].includes(event.type)) this.making.clear();
    if (/^(StepStarted|StageProgress|PreviewMade|Backend\w+)$/.test(event.type)) this.making.set(event.type, event);
  }

  async lost() {
    this.live.last = "";
    this.state = await get("api/state");
    this.showState();
    this.view?.back?.();
  }

  showState() {
    const running = this.running, now = byId("now");
    now.hidden = !running;
    now.textContent = running ? `${doing(running)}: ${running.title}` : "";
    now.href = running?.plan_id ? "#watch/" + encodeURIComponent(running.plan_id) : "#watch";
    const told = [this.state.problem, ...(this.state.notes || []), ...this.state.interrupted.map(({ words }) => words)].filter(Boolean);
    byId("banner").replaceChildren(...told.map((textContent) => element("p", { textContent })));
  }
}

function doing({ state, awaits }) {
  if (state !== "running") return state;
  return awaits?.blocked ? `waiting for ${awaits.ratings} ratings` : "making";
}

/** @typedef {Studio} StudioWindow */
new Studio().start();
