// The first view: all searches, what the workers do, the devices, the latest events.

import { get, search as path } from "./api.js";
import { h } from "./dom.js";
import { list } from "./events.js";
import { timeline } from "./timeline.js";
import { accuracy, bytes, count, duration, percent, plural } from "./words.js";

const SPANS = [5, 15, 60];
const ASKED = 10;

export class Overview {
  constructor(page) {
    this.page = page;
    this.title = "Overview";
    this.minutes = 15;
  }

  concerns() {
    return true;
  }

  async load(signal) {
    const [searches, devices, workers] = await Promise.all(
      ["/v1/searches", "/v1/devices", "/v1/workers"].map((path) => get(path, { signal })));
    await this.ask(searches, signal);
    this.data = { searches, devices, workers: workers.workers };
    this.page.learn(searches);
    for (const worker of workers.workers) for (const one of worker.segments) if (one.search) this.page.place(one.job, one.search);
    this.page.skew = workers.now - Date.now() / 1000;
  }

  /** Asks why the first of those wait that wait: that they are paused, stopped or failed their status says. */
  async ask(searches, signal) {
    const waiting = searches.filter((one) => ["running", "preparing", "interrupted"].includes(one.status) && !one.running.length);
    await Promise.all(waiting.slice(-ASKED).map(async (one) => {
      one.waits = (await get(path(one.search, "/why"), { signal })).waits;
    }));
  }

  act(action, target) {
    if (action === "span") this.minutes = Number(target.dataset.minutes);
  }

  render(width) {
    const { data, page } = this;
    if (!data) return waiting();
    return h("div", { class: "view" },
      h("h1", { class: "unseen" }, "Overview"),
      readouts(totals(data, page)),
      h("section", { class: "sheet", "aria-labelledby": "searches-title" },
        h("header", {}, h("h2", { id: "searches-title" }, "Searches"), h("p", { class: "quiet" }, tally(data.searches))),
        searches(data.searches)),
      h("div", { class: "split" },
        h("div", { class: "stack" }, this.workers(width), devices(data.devices, page.unlocked)),
        h("section", { class: "sheet", "aria-labelledby": "events-title" },
          h("header", {}, h("h2", { id: "events-title" }, "Events")),
          list(page.latest.events, page))));
  }

  workers(width) {
    const { page } = this;
    const span = h("div", { class: "choice", role: "group", "aria-label": "Minutes shown" }, SPANS.map((minutes) =>
      h("button", { type: "button", "data-action": "span", "data-minutes": minutes, "aria-pressed": String(minutes === this.minutes) }, `${minutes} min`)));
    const lane = page.measure(".lane svg", width > 930 ? 640 : width - 80);
    return h("section", { class: "sheet", "aria-labelledby": "workers-title" },
      h("header", {}, h("h2", { id: "workers-title" }, "Workers"), span),
      this.data.workers.length
        ? timeline({ workers: this.data.workers, doing: page.doing, now: page.now(), minutes: this.minutes, width: lane, colours: page.colours, name: (id) => page.name(id) })
        : h("p", { class: "empty" }, "No worker has started yet: the first search starts them."));
  }
}

/** What stands there until the first answer: as high as what comes, so that nothing moves. */
export function waiting() {
  return h("div", { class: "view", "aria-busy": "true" },
    h("p", { class: "unseen" }, "Loading"),
    readouts(["–", "–", "–", "–", "–"].map((value) => ["\u00a0", h("span", { class: "ghost" }, value.repeat(4))])),
    h("div", { class: "sheet" }, h("div", { class: "hold" })));
}

export function readouts(found) {
  return h("dl", { class: "readouts" }, found.map(([name, value, more]) =>
    h("div", {}, h("dt", {}, name), h("dd", {}, value, more ? h("small", {}, " ", more) : null))));
}

function totals({ searches: all, devices: found }, page) {
  const sum = (pick) => all.reduce((so_far, one) => so_far + (pick(one) ?? 0), 0);
  const slots = found.reduce((so_far, one) => so_far + one.slots, 0);
  const busy = found.reduce((so_far, one) => so_far + one.busy, 0);
  const best = all.reduce((so_far, one) => Math.max(so_far, one.best_accuracy ?? -1), -1);
  return [
    ["Searches running", count(all.filter((one) => one.status === "running").length), `of ${count(all.length)}`],
    ["Workers busy", count(busy), `of ${count(slots)}`],
    ["Best accuracy", best < 0 ? "–" : accuracy(best)],
    ["Epochs trained", count(sum((one) => one.totals.epochs_trained))],
    ["Epochs spared", count(sum(spared))],
    ["Up for", duration(page.uptime())],
  ];
}

export function spared(search) {
  return (search.totals.epochs_resumed_over ?? 0) + (search.epochs_saved_by_memo ?? 0);
}

function tally(all) {
  const by = new Map();
  for (const one of all) by.set(one.status, (by.get(one.status) ?? 0) + 1);
  return [...by].map(([status, number]) => `${number} ${status}`).join(", ");
}

const ORDER = ["running", "preparing", "pausing", "paused", "interrupted", "failed", "stopped", "finished"];

function searches(all) {
  if (!all.length) {
    return h("p", { class: "empty" }, "This store has no search yet. Hand one in with ", h("code", {}, "coldframe submit SPEC"), ".");
  }
  const rank = (one) => ORDER.indexOf(one.status) * 1e15 - one.opened;
  const rows = [...all].sort((a, b) => rank(a) - rank(b));
  return h("div", { class: "scroll searches", tabindex: "0", role: "group", "aria-label": "Searches" },
    h("table", { role: "table" },
      h("caption", { class: "unseen" }, "Searches: running ones first, then the latest"),
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" },
        ["Search", "Progress", "Best accuracy", "Epochs trained", "Spared", "Share"].map((name, at) =>
          h("th", { scope: "col", role: "columnheader", class: at > 1 ? "number" : null }, name)))),
      h("tbody", { role: "rowgroup" }, rows.map(row))));
}

function row(one) {
  const cell = (content, name, more = "number") => h("td", { role: "cell", class: more, "data-name": name }, content);
  const muted = one.status !== "running" && one.status !== "finished";
  return h("tr", { role: "row", "data-key": one.search },
    h("td", { role: "cell" },
      h("span", { class: "name" }, h("a", { href: `#/search/${one.search}` }, one.name)),
      h("span", { class: "under" }, badge(one.status), one.owner ? ` ${one.owner}` : ""),
      waits(one.waits ?? [])),
    h("td", { role: "cell", class: "across" }, h("div", { class: muted ? "progress muted" : "progress" }, progress(one))),
    cell(accuracy(one.best_accuracy ?? one.best_test_accuracy), "Best accuracy"),
    cell(count(one.totals.epochs_trained), "Epochs trained"),
    cell(count(spared(one)), "Spared"),
    cell([`× ${one.weight}`, one.priority ? h("span", { class: "under" }, `priority ${one.priority}`) : null], "Share"));
}

/** What a search waits for, and what would end the wait. */
export function waits(found) {
  return found.map((wait) => h("span", { class: "waits" }, h("span", {}, `Waits: ${wait.what}.`), ` Until: ${wait.until}.`));
}

export function progress(one) {
  const finished = one.status === "finished";
  const [done, total] = finished && !one.total ? [1, 1] : [one.done, one.total];
  return [
    h("span", {}, one.label || (finished ? "done" : one.totals.epochs_trained ? "begun" : "not begun"), total > 1 ? ` (${percent(done / total)})` : ""),
    h("progress", { max: Math.max(total, 1), value: Math.min(done, Math.max(total, 1)), "aria-label": `Progress of ${one.name}` }),
  ];
}

export function badge(status) {
  return h("span", { class: "status", "data-is": status }, status);
}

function devices(found, unlocked) {
  return h("section", { class: "sheet", "aria-labelledby": "devices-title" },
    h("header", {}, h("h2", { id: "devices-title" }, "Devices")),
    found.length ? h("ul", { class: "devices" }, found.map((one) => device(one, unlocked))) : h("p", { class: "empty" }, "The daemon has found no device yet."));
}

function device(one, unlocked) {
  const meter = (name, value, most, words) => h("div", { class: "meter" },
    h("span", {}, name), h("progress", { max: most, value, "aria-label": `${name} of ${one.device}` }), h("span", {}, words));
  const facts = [
    one.temperature === null ? null : `${Math.round(one.temperature)} °C`,
    one.power_watts === null ? null : `${Math.round(one.power_watts)} W`,
    one.idle_share === null ? null : `idle ${percent(one.idle_share)} of the time`,
    one.faults ? plural(one.faults, "fault") : null,
  ].filter(Boolean);
  return h("li", { class: "device", "data-key": `device-${one.device}` },
    h("header", {}, h("h3", {}, one.device, one.model ? h("span", { class: "quiet" }, ` ${one.model}`) : ""), badge(one.state)),
    one.why ? h("p", { class: "quiet" }, one.why) : null,
    meter("Workers", one.busy, Math.max(one.slots, 1), `${one.busy} of ${one.slots}`),
    one.memory_bytes ? meter("Memory", one.memory_used_bytes ?? 0, one.memory_bytes, `${bytes(one.memory_used_bytes)}`) : null,
    one.utilisation === null ? null : meter("Utilisation", one.utilisation, 1, percent(one.utilisation)),
    facts.length ? h("p", { class: "quiet" }, facts.join(", ")) : null,
    one.state !== "in service" && unlocked
      ? h("p", {}, h("button", { type: "button", "data-action": "return-device", "data-device": one.device }, "Take back into service")) : null);
}
