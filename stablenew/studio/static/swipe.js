// A finger that is drawn across something: to the left, to the right, up or down.

const FAR = 48; // pixels from which on it is meant

/** @param {HTMLElement} area @param {(way: "left" | "right" | "up" | "down") => void} swiped */
export function onSwipe(area, swiped) {
  let begin = null;
  area.addEventListener("pointerdown", (event) => { begin = event.pointerType === "touch" && event.isPrimary ? [event.clientX, event.clientY] : null; });
  area.addEventListener("pointercancel", () => { begin = null; });
  area.addEventListener("pointerup", (event) => {
    if (!begin) return;
    const [x, y] = [event.clientX - begin[0], event.clientY - begin[1]];
    begin = null;
    if (Math.max(Math.abs(x), Math.abs(y)) < FAR) return;
    const way = Math.abs(x) > Math.abs(y) ? (x < 0 ? "left" : "right") : y < 0 ? "up" : "down";
    // What was drawn across is not what was clicked.
    area.addEventListener("click", (click) => { click.stopPropagation(); click.preventDefault(); }, { capture: true, once: true });
    setTimeout(() => swiped(way));
  });
}
