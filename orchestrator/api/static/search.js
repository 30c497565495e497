// One search: how far it is, its accuracy over time, its best networks, what it cost, what failed, what happened.

import { get, search as path } from "./api.js";
import { Cells } from "./cells.js";
import { chart, figure } from "./chart.js";
import { h, table } from "./dom.js";
import { Latest, list } from "./events.js";
import { badge, progress, readouts, waiting, waits } from "./overview.js";
import { accuracy, amount, clock, count, duration, plural, short } from "./words.js";

const LOOKS = 6;
const BACKLOG = 400; // events of all searches

export class Search {
  constructor(page, id) {
    this.page = page;
    this.id = id;
    this.title = "Search";
    this.cells = new Cells();
    this.latest = null;
  }

  concerns(event) {
    return this.page.of(event, this.id);
  }

  async load(signal) {
    const parts = ["", "/rungs", "/candidates", "/failures", "/why"].map((rest) => get(path(this.id, rest), { signal }));
    const [status, rungs, candidates, failures, why] = await Promise.all(parts);
    this.id = status.search;
    this.data = { status, rungs: rungs.rungs, candidates, failures: failures.failures, waits: why.waits };
    this.title = status.name;
    this.page.learn([status]);
    this.latest ??= await this.recent(signal);
    this.page.paint(); // drawing takes a while
    await this.cells.load(this.id, candidates.top, signal);
  }

  /** What has happened shortly before the page was opened. */
  async recent(signal) {
    const after = Math.max(0, (this.page.health?.sequence ?? 0) - BACKLOG);
    const { events } = await get(`/v1/events?search=${encodeURIComponent(this.id)}&after=${after}&limit=${BACKLOG}`, { signal });
    const latest = new Latest();
    for (const event of events) {
      if (event.job) this.page.place(event.job, this.id);
      latest.take(event);
    }
    return latest;
  }

  happened(event) {
    if (this.page.of(event, this.id)) this.latest?.take(event);
  }

  leave() {
    this.cells.forget();
  }

  act(action, target) {
    if (action === "rank") this.cells.rank = Number(target.dataset.rank);
  }

  render(width) {
    if (!this.data) return waiting();
    const { status, candidates, failures } = this.data;
    const half = this.page.measure(".plot", width > 930 ? 560 : width - 54);
    return h("div", { class: "view" },
      this.heading(status, this.data.waits),
      readouts(figures(status, candidates)),
      h("div", { class: "pair" },
        h("section", { class: "sheet" }, this.rungs(half)),
        h("section", { class: "sheet" }, this.scatter(half))),
      h("section", { class: "sheet", "aria-labelledby": "best-title" },
        h("header", {}, h("h2", { id: "best-title" }, "Best candidates")),
        best(candidates.top)),
      this.cells.render(),
      h("div", { class: "pair" },
        h("section", { class: "sheet", "aria-labelledby": "costs-title" },
          h("header", {}, h("h2", { id: "costs-title" }, "Requests and costs")), costs(status)),
        h("section", { class: "sheet", "aria-labelledby": "events-title" },
          h("header", {}, h("h2", { id: "events-title" }, "Events")),
          list(this.latest?.events ?? [], this.page, this.id))),
      h("section", { class: "sheet", "aria-labelledby": "failures-title" },
        h("header", {}, h("h2", { id: "failures-title" }, "Failures")), troubles(failures)));
  }

  heading(status, found) {
    return h("div", { class: "stack" },
      h("nav", { class: "crumb", "aria-label": "Where this is" }, h("a", { href: "#/" }, "All searches")),
      h("div", { class: "lead" },
        h("h1", {}, status.name), badge(status.status),
        h("p", { class: "quiet" }, h("span", { class: "id" }, short(status.search)), status.owner ? ` by ${status.owner}` : "", ` with weight ${status.weight}, priority ${status.priority}`),
        this.page.unlocked ? controls(status) : null),
      h("div", { class: status.status === "running" || status.status === "finished" ? "progress" : "progress muted" }, progress(status)),
      status.message ? h("p", {}, status.message) : null,
      waits(found),
      this.page.unlocked && status.status !== "finished" ? share(status) : null);
  }

  rungs(width) {
    const rungs = this.data.rungs;
    if (!rungs.length) return unfinished("Accuracy of each rung", "No training has ended yet: the first one begins this chart.");
    const unit = scale(Math.max(...rungs.flatMap((rung) => rung.points.map((point) => point[0]))));
    const series = rungs.map((rung, at) => ({
      name: plural(rung.epochs, "epoch"), value: accuracy(rung.mean), look: at % LOOKS, kind: "line",
      points: rung.points.map(([seconds, mean]) => [seconds / unit.size, mean]),
    }));
    const picture = chart({
      id: "rungs", width, series,
      title: `Mean accuracy over running time. ${rungs.map((rung) => `${plural(rung.epochs, "epoch")}: ${accuracy(rung.mean)}, best ${accuracy(rung.best)}`).join("; ")}.`,
      x: { label: `running time, ${unit.name}`, format: (value) => String(Math.round(value * 100) / 100) },
      y: { format: (value) => `${Math.round(value * 1000) / 10} %` },
    });
    const data = table("Accuracy of each rung now", [{ name: "Rung" }, { name: "Candidates", number: true }, { name: "Mean", number: true }, { name: "Best", number: true }],
      rungs.map((rung) => [plural(rung.epochs, "epoch"), count(rung.candidates), accuracy(rung.mean), accuracy(rung.best)]));
    return figure({ id: "rungs", heading: "Accuracy of each rung", note: `mean of its latest ${rungs[0].latest} trainings`, picture, series, data });
  }

  scatter(width) {
    const found = this.data.candidates;
    if (!found.points.length) return unfinished("Candidates", "No candidate has an accuracy yet.");
    const last = Math.max(found.total - 1, 1);
    const top = found.best[found.best.length - 1];
    const series = [
      { name: "each candidate", look: 9, kind: "dots", points: found.points },
      { name: "best so far", value: accuracy(top[1]), look: 0, kind: "step", points: [...found.best, [last, top[1]]] },
    ];
    const picture = chart({
      id: "scatter", width, series,
      title: `Accuracy of ${count(found.scored)} candidates in order of birth; the best, number ${top[0] + 1}, has ${accuracy(top[1])}.`,
      x: { label: "candidate, in order of birth", format: count, domain: [0, last] },
      y: { format: (value) => `${Math.round(value * 1000) / 10} %` },
    });
    const data = table("Candidates that were the best so far", [{ name: "Candidate", number: true }, { name: "Accuracy", number: true }],
      found.best.map(([index, value]) => [count(index + 1), accuracy(value)]));
    return figure({ id: "scatter", heading: "Candidates", note: `validation accuracy; ${count(found.total)} so far${found.failed ? `, ${count(found.failed)} failed` : ""}`, picture, series, data });
  }
}

function unfinished(heading, words) {
  return [h("header", {}, h("h2", {}, heading)), h("p", { class: "empty hold" }, words)];
}

function scale(seconds) {
  if (seconds > 2 * 86400) return { size: 86400, name: "days" };
  if (seconds > 2 * 3600) return { size: 3600, name: "hours" };
  return seconds > 120 ? { size: 60, name: "minutes" } : { size: 1, name: "seconds" };
}

function figures(status, candidates) {
  const top = candidates.top[0];
  return [
    ["Best accuracy", accuracy(top?.accuracy ?? top?.test_accuracy), top ? `at ${plural(top.epochs, "epoch")}` : ""],
    ["Candidates", count(candidates.total), candidates.failed ? `${count(candidates.failed)} failed` : ""],
    ["Epochs trained", count(status.totals.epochs_trained)],
    ["Spared by resuming", count(status.totals.epochs_resumed_over), "epochs"],
    ["Spared by memo", count(status.epochs_saved_by_memo), "epochs"],
    ["Running time", duration(status.totals.seconds), plural(status.runs, "run")],
  ];
}

function controls(status) {
  const button = (action, words, { can, more = null }) =>
    h("button", { type: "button", class: more, "data-action": action, "data-search": status.search, "data-name": status.name, disabled: !can }, words);
  const state = status.status;
  const going = ["running", "preparing", "interrupted"].includes(state);
  return h("p", { class: "buttons" },
    going ? button("pause", "Pause", { can: true }) : button("resume", "Resume", { can: ["paused", "stopped", "failed"].includes(state) }),
    button("stop", "Stop…", { can: going || ["paused", "pausing"].includes(state), more: "danger" }));
}

function share(status) {
  return h("form", { class: "share", "data-action": "share", "data-search": status.search, "data-key": "share", "data-keep": `${status.weight} ${status.priority}`, "aria-label": "Share of the devices" },
    h("label", {}, "Weight", h("input", { type: "number", name: "weight", min: "0.01", step: "any", value: status.weight, required: true })),
    h("label", {}, "Priority", h("input", { type: "number", name: "priority", step: "1", value: status.priority, required: true })),
    h("button", { type: "submit" }, "Set share"));
}

const BEST = [
  { name: "Rank" }, { name: "Accuracy", number: true }, { name: "Epochs", number: true }, { name: "Parameters", number: true },
  { name: "Multiply-adds", number: true }, { name: "Candidate" }, { name: "Origin" },
];

function best(top) {
  return table("The best candidates", BEST, top.map((one, at) => ({
    key: one.candidate,
    cells: [String(at + 1), accuracy(one.accuracy ?? one.test_accuracy), count(one.epochs), amount(one.parameters), amount(one.multiply_adds),
      h("span", { class: "id" }, short(one.candidate)), one.origin || "–"],
  })), { quiet: true, empty: "No candidate has been trained yet." });
}

function costs(status) {
  const facts = [
    ["Requests", count(status.totals.requests)],
    ["Answered from the store", count(status.totals.memo_hits)],
    ["Jobs", count(status.totals.jobs)],
    ["Attempts", count(status.totals.attempts)],
    ...Object.entries(status.jobs_by_state).map(([state, number]) => [`Jobs ${state}`, count(number)]),
  ];
  const now = status.running.map((one) => ({
    key: one.job, cells: [one.worker, h("a", { href: `#/job/${one.job}` }, one.words), count(one.epoch)],
  }));
  return [
    h("dl", { class: "facts" }, facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
    h("h3", { class: "gap" }, "Under way"),
    table("Jobs under way", [{ name: "Worker" }, { name: "Job" }, { name: "Epoch", number: true }], now, { quiet: true, empty: "No worker has a job of this search now." }),
  ];
}

function troubles(failures) {
  if (!failures.length) return h("p", { class: "empty" }, "No attempt has failed.");
  return h("ul", { class: "stack" }, failures.map((one) => h("li", { "data-key": `failure-${one.job}-${one.attempt}` },
    h("p", {}, h("a", { href: `#/job/${one.job}` }, one.words), `, attempt ${one.attempt} on ${one.worker} at ${clock(one.time, true)}: `,
      h("strong", {}, one.reason), `. In the end: ${one.ending}.`),
    h("pre", { tabindex: "0", "aria-label": `What ${one.words} said` }, [...one.last_words, one.message].join("\n")))));
}
