// The journal's tail by server-sent events, read through fetch so that the token can go in a header.
// It comes back by itself, from the last sequence number that it saw.

import { headers, refusal } from "./api.js";

const SILENT_MS = 40_000; // the daemon sends a comment every 15 s
const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 10_000;

export class Stream {
  /** Handlers: event(sequence, value), passing(kind, value), state("connecting" | "live" | "lost" | "refused", error). */
  constructor(handlers) {
    this.handlers = handlers;
    this.last = 0;
    this.wait = FIRST_WAIT_MS;
    this.running = null;
  }

  /** Follows from after a sequence number; an earlier connection is given up. */
  start(after) {
    this.stop();
    this.last = after;
    this.running = new AbortController();
    this.follow(this.running.signal);
  }

  stop() {
    this.running?.abort();
    this.running = null;
  }

  async follow(signal) {
    while (!signal.aborted) {
      try {
        await this.connect(signal);
      } catch (error) {
        if (signal.aborted) return;
        if (error.status === 401 || error.status === 403) {
          this.handlers.state("refused", error);
          return;
        }
      }
      if (signal.aborted) return;
      this.handlers.state("lost");
      await pause(this.wait, signal);
      this.wait = Math.min(this.wait * 2, LONGEST_WAIT_MS);
    }
  }

  async connect(signal) {
    const given = new AbortController();
    const give_up = () => given.abort();
    signal.addEventListener("abort", give_up, { once: true });
    let silence = setTimeout(give_up, SILENT_MS);
    try {
      const response = await fetch(`/v1/events?after=${this.last}`, {
        headers: headers({ Accept: "text/event-stream", "Last-Event-ID": String(this.last) }),
        signal: given.signal,
        cache: "no-store",
      });
      if (!response.ok) throw await refusal(response);
      this.wait = FIRST_WAIT_MS;
      this.handlers.state("live");
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      const parser = new Parser((kind, id, data) => this.take(kind, id, data));
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        clearTimeout(silence);
        silence = setTimeout(give_up, SILENT_MS);
        parser.feed(part.value);
      }
    } finally {
      clearTimeout(silence);
      signal.removeEventListener("abort", give_up);
    }
  }

  take(kind, id, data) {
    const value = JSON.parse(data);
    if (id) this.last = Math.max(this.last, Number(id));
    if (kind !== "message") this.handlers.passing(kind, value);
    else if (id) this.handlers.event(Number(id), value);
  }
}

/** Lines of an event stream in, events out (HTML Living Standard, section 9.2.6). */
export class Parser {
  constructor(take) {
    this.take = take;
    this.rest = "";
    this.clear();
  }

  clear() {
    this.kind = "message";
    this.id = "";
    this.data = [];
  }

  feed(text) {
    const lines = (this.rest + text).split(/\r\n|\n|\r(?!$)/);
    this.rest = lines.pop();
    for (const line of lines) this.line(line);
  }

  line(line) {
    if (line === "") {
      if (this.data.length) this.take(this.kind, this.id, this.data.join("\n"));
      this.clear();
      return;
    }
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") this.kind = value;
    else if (field === "id") this.id = value;
    else if (field === "data") this.data.push(value);
  }
}

function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    }, { once: true });
  });
}
