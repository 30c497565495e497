// The journal's events in words, and the list of the latest.

import { h } from "./dom.js";
import { accuracy, clock, short } from "./words.js";

const KEPT = 60;
const BAD = new Set(["attempt_failed", "job_failed", "search_failed", "checkpoint_quarantined", "device_left"]);

const WORDS = {
  search_opened: () => "new in this store",
  search_submitted: (e) => `submitted by ${e.owner || "unknown"}`,
  search_extended: () => "has another total, or other settings",
  search_started: () => "taken up",
  search_interrupted: (e) => `interrupted: ${e.reason}`,
  search_finished: () => "finished",
  search_failed: (e) => `failed: ${e.message}`,
  search_paused: (e) => `paused by ${e.by || "unknown"}`,
  search_resumed: (e) => `resumed by ${e.by || "unknown"}`,
  search_stopped: (e) => `stopped by ${e.by || "unknown"}`,
  search_prioritised: (e) => `weight ${e.weight}, priority ${e.priority}, by ${e.by || "unknown"}`,
  job_started: (e) => (e.attempt > 1 ? `attempt ${e.attempt} given to ${e.worker}${e.epoch ? `, from epoch ${e.epoch}` : ""}` : null),
  job_succeeded: (e) => `succeeded${reached(e.outcome)}, ${e.seconds.toFixed(1)} s`,
  attempt_failed: (e) => `attempt ${e.attempt} failed: ${e.reason}: ${last(e.message)}`,
  job_failed: (e) => `given up: ${e.outcome.reason}: ${last(e.outcome.message)}`,
  job_stopped: (e) => `stopped in good order: ${e.reason}`,
  stale_report: (e) => `a late message of attempt ${e.attempt} was passed over`,
  checkpoint_quarantined: (e) => `checkpoint ${short(e.checkpoint)} cannot be read and is set aside`,
  worker_started: (e) => `${e.worker} started on ${e.device}`,
  worker_ended: (e) => `${e.worker} ended: ${e.cause}`,
  device_left: (e) => `${e.device} left service: ${e.reason}: ${e.message}`,
  device_returned: (e) => `${e.device} is in service again`,
};

function reached(outcome) {
  return outcome?.accuracy === null || outcome?.accuracy === undefined ? "" : `: ${accuracy(outcome.accuracy)}`;
}

function last(message) {
  return (message ?? "").trim().split("\n").pop();
}

/** What a person is told of an event; null for those that only a replay needs. */
export function told(event) {
  return WORDS[event.type]?.(event) ?? null;
}

/** The latest events that people are told of, newest first. */
export class Latest {
  constructor() {
    this.events = [];
  }

  take(event) {
    if (told(event) === null || this.events[0]?.sequence >= event.sequence) return false;
    this.events.unshift(event);
    this.events.length = Math.min(this.events.length, KEPT);
    return true;
  }
}

/** The list; on the page of one search its name is left out. */
export function list(events, page, search = null) {
  if (!events.length) return h("p", { class: "empty" }, "Nothing has happened since this page was opened, or shortly before.");
  return h("div", { class: "events", tabindex: "0", role: "group", "aria-label": "Latest events, newest first" },
    h("ol", {}, events.map((event) => h("li", { "data-key": `event-${event.sequence}`, class: BAD.has(event.type) ? "bad" : null },
      h("time", { datetime: new Date(event.time * 1000).toISOString() }, clock(event.time)),
      h("span", {}, subject(event, page, search), told(event))))));
}

function subject(event, page, search) {
  const of = event.search ?? page.jobs.get(event.job);
  return [
    of && of !== search ? [h("a", { href: `#/search/${of}` }, page.name(of)), " "] : null,
    event.job ? [h("a", { href: `#/job/${event.job}` }, "job ", h("span", { class: "id" }, event.job.slice(0, 8))), " "] : null,
  ];
}
