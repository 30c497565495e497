// What each worker did in the last minutes: a lane for each worker, a bar for each attempt, coloured by search.

import { h, s } from "./dom.js";
import { ticks } from "./chart.js";
import { clock, duration } from "./words.js";

const TALL = 22;
const LOOKS = 6;
const NARROW = 2; // CSS pixels

/** Gives each search that appears a colour of its own, the same for as long as the page is open. */
export class Colours {
  constructor() {
    this.known = new Map();
  }

  of(search) {
    if (!this.known.has(search)) this.known.set(search, this.known.size % LOOKS);
    return this.known.get(search);
  }
}

/**
 * The lanes. workers: [{ worker, device, segments: [{ start, end, search, job, words, kind, outcome }] }], times in
 * seconds since the epoch, end null while under way. now: the daemon's clock. minutes: how far back. width: of a lane.
 */
export function timeline({ workers, doing, now, minutes, width, colours, name }) {
  const from = now - minutes * 60;
  const at = (time) => Math.round(((Math.max(time, from) - from) / (now - from)) * width * 10) / 10;
  const searches = new Map();
  const lanes = workers.map((worker) => {
    const seen = worker.segments.filter((one) => (one.end ?? now) > from && one.start < now);
    for (const one of seen) if (one.search) searches.set(one.search, colours.of(one.search));
    return lane(worker, seen, at, { doing: activity(worker, doing.get(worker.worker)), now, from, width, colours });
  });
  return [
    h("ul", { class: "legend" }, [...searches].map(([search, look]) =>
      h("li", {}, s("svg", { class: "swatch", viewBox: "0 0 10 10", "aria-hidden": "true" }, s("rect", { class: `fill-${look}`, width: 10, height: 10, rx: 2 })), name(search)))),
    h("ul", { class: "lanes" }, lanes),
    h("div", { class: "lane", "aria-hidden": "true" }, h("span"), ruler(minutes, width)),
  ];
}

/** What a worker is at: its heartbeat's words, else the attempt that has not ended. */
function activity(worker, beat) {
  const open = worker.segments.findLast((one) => one.end === null);
  if (beat?.note) return beat.note;
  if (!open) return "idle";
  if (beat?.job !== open.job || !beat.steps) return open.words;
  const epoch = (beat.epoch + Math.min(beat.step / beat.steps, 1)).toFixed(1);
  return open.words.includes(" to ") ? open.words.replace(" to ", `, ${epoch} of `) : `${open.words}, ${epoch}`;
}

function lane(worker, seen, at, { doing, now, from, width, colours }) {
  const busy = seen.reduce((sum, one) => sum + Math.min(one.end ?? now, now) - Math.max(one.start, from), 0);
  const share = Math.min(busy / (now - from), 1);
  const label = `${worker.worker}: ${seen.length} attempts, busy ${Math.round(share * 100)} % of the time shown`;
  return h("li", { class: "lane", "data-key": `lane-${worker.worker}` },
    h("div", {}, h("div", { class: "who" }, worker.worker), h("div", { class: "now" }, doing)),
    s("svg", { viewBox: `0 0 ${width} ${TALL}`, height: TALL, preserveAspectRatio: "none", role: "img", "aria-label": label },
      s("rect", { class: "track", width, height: TALL, rx: 2 }),
      bars(joined(seen, at, now), at, now, colours)));
}

/** A bar for each attempt that is wide enough to point at; the narrow ones of one look are one path. */
function bars(attempts, at, now, colours) {
  const narrow = new Map();
  const wide = [];
  for (const one of attempts) {
    const [x, width] = extent(one, at, now);
    if (width >= NARROW * 2) wide.push(segment(one, x, width, now, colours));
    else narrow.set(look(one, colours), `${narrow.get(look(one, colours)) ?? ""}M${x} 2h${width}v${TALL - 4}h-${width}z`);
  }
  return [...[...narrow].map(([name, path]) => s("path", { class: name, d: path })), ...wide];
}

function extent(one, at, now) {
  const x = at(one.start);
  return [x, Math.round(Math.max(at(one.end ?? now) - x - 0.6, 0.8) * 10) / 10];
}

function look(one, colours) {
  return ["job", `fill-${colours.of(one.search)}`, one.end === null ? "open" : "", one.outcome === "failed" ? "failed" : ""].filter(Boolean).join(" ");
}

/** Attempts that could not be told apart, as one bar: thousands of bars are drawn as a few hundred. */
function joined(seen, at, now) {
  const found = [];
  for (const one of seen) {
    const before = found[found.length - 1];
    const end = one.end ?? now;
    const alike = before && before.end !== null && one.end !== null && before.search === one.search && before.outcome === one.outcome;
    if (alike && at(end) - at(before.end) < NARROW && at(one.start) - at(before.end) < NARROW) {
      before.end = end;
      before.count += 1;
    } else found.push({ ...one, count: 1 });
  }
  return found;
}

function segment(one, x, width, now, colours) {
  const seconds = duration((one.end ?? now) - one.start);
  const words = one.end === null ? `${one.words}, under way for ${seconds}` : `${one.words}, ${one.outcome} after ${seconds}`;
  return s("rect", { class: look(one, colours), x, y: 2, width, height: TALL - 4, rx: 1 },
    s("title", {}, one.count > 1 ? `${one.count} attempts, from ${clock(one.start)} to ${clock(one.end)}` : `${words}, from ${clock(one.start)}`));
}

function ruler(minutes, width) {
  const steps = ticks(0, minutes, width < 420 ? 3 : 6).filter((minute) => minute === 0 || minute === minutes || room(minute / minutes, width));
  return s("svg", { viewBox: `0 0 ${width} 18`, height: 18 }, steps.map((minute) =>
    s("text", { class: "tick", x: Math.round(width - (minute / minutes) * width), y: 13, "font-size": 12,
      "text-anchor": minute === 0 ? "end" : minute === minutes ? "start" : "middle" },
      minute === 0 ? "now" : minute === minutes ? `${minute} min ago` : String(minute))));
}

/** Whether a label in between keeps clear of those at the ends. */
function room(share, width) {
  return share * width > 50 && (1 - share) * width > 90;
}
