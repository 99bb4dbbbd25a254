// The studio's events as they come; after a cut it goes on behind the last one that came.

const AGAIN = 1500; // milliseconds until the next try, where the browser has given up

export class Live {
  /** @param {{ heard: (event: any) => void, connected: (yes: boolean) => void }} does */
  constructor(does) {
    this.does = does;
    /** The id of the last event that came: PLAN/SEQUENCE. */
    this.last = "";
    // A stream whose cable is pulled stays silent for minutes; one on this machine is there again at once.
    for (const name of ["offline", "online"]) addEventListener(name, () => this.source && this.open());
  }

  /** @param {string} [after] An event's id: what came after it is told first. */
  open(after = "") {
    if (after) this.last = after;
    this.source?.close();
    const source = this.source = new EventSource("api/events" + (this.last ? "?after=" + encodeURIComponent(this.last) : ""));
    source.onmessage = (message) => {
      if (message.lastEventId) this.last = message.lastEventId;
      const event = JSON.parse(message.data);
      if (event.type === "hello") this.does.connected(true);
      this.does.heard(event);
    };
    source.onerror = () => {
      this.does.connected(false);
      // A browser tries again by itself after a cut, but not after an answer that was no stream.
      if (source.readyState === EventSource.CLOSED && this.source === source) setTimeout(() => this.source === source && this.open(), AGAIN);
    };
  }
}
