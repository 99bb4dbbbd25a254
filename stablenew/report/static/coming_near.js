// Calls what an element has as `near` when it comes near the window, or near what scrolls it.

export class ComingNear {
  constructor() {
    /** @type {IntersectionObserver[]} */
    this.watchers = [];
  }

  /** @param {Element | null} root What scrolls; the window where there is none. */
  within(root) {
    const watcher = new IntersectionObserver((entries) => {
      for (const { isIntersecting, target } of entries) {
        if (isIntersecting) { watcher.unobserve(target); /** @type {any} */ (target).near(); }
      }
    }, { root, rootMargin: "600px" });
    this.watchers.push(watcher);
    return watcher;
  }

  stop() {
    this.watchers.forEach((watcher) => watcher.disconnect());
    this.watchers = [];
  }
}
