// One job: its attempts, its story, what it printed.

import { ask, get, job as path } from "./api.js";
import { h, table } from "./dom.js";
import { badge, waiting } from "./overview.js";
import { count, duration, short } from "./words.js";

const LOG_BYTES = 1 << 20;

export class Job {
  constructor(page, id) {
    this.page = page;
    this.id = id;
    this.title = "Job";
    this.log = "";
    this.offset = 0;
  }

  concerns(event) {
    return event.job === this.id;
  }

  async load(signal) {
    const [job, story] = await Promise.all([get(path(this.id), { signal }), get(path(this.id, "/story"), { signal })]);
    this.id = job.id;
    await this.more(signal);
    this.data = { job, story: story.story };
    this.title = job.words;
  }

  /** Takes what the job has printed since. */
  async more(signal) {
    const response = await ask(path(this.id, `/log?offset=${this.offset}`), { signal, accept: "text/plain" });
    const text = await response.text();
    this.offset = Number(response.headers.get("X-End"));
    this.log = (this.log + text).slice(-LOG_BYTES);
  }

  render() {
    if (!this.data) return waiting();
    const { job, story } = this.data;
    return h("div", { class: "view" },
      h("nav", { class: "crumb", "aria-label": "Where this is" }, h("a", { href: "#/" }, "All searches"),
        job.searches.map((search) => [" / ", h("a", { href: `#/search/${search}` }, this.page.name(search))])),
      h("div", { class: "lead" }, h("h1", {}, job.words), badge(job.state), h("p", { class: "id quiet" }, short(job.id))),
      h("section", { class: "sheet", "aria-labelledby": "attempts-title" },
        h("header", {}, h("h2", { id: "attempts-title" }, "Attempts")), attempts(job.attempts)),
      h("section", { class: "sheet", "aria-labelledby": "story-title" },
        h("header", {}, h("h2", { id: "story-title" }, "Story")),
        h("pre", { tabindex: "0", role: "group", "aria-label": "Story of the job" }, story.join("\n"))),
      h("section", { class: "sheet", "aria-labelledby": "log-title" },
        h("header", {}, h("h2", { id: "log-title" }, "Log")),
        this.log ? h("pre", { tabindex: "0", role: "group", "aria-label": "What the job printed" }, this.log) : h("p", { class: "empty" }, "The job has printed nothing.")));
  }
}

const COLUMNS = [
  { name: "Attempt", number: true }, { name: "Worker" }, { name: "Device" }, { name: "From epoch", number: true },
  { name: "Reached", number: true }, { name: "Time", number: true }, { name: "Outcome" },
];

function attempts(found) {
  return table("Attempts at the job", COLUMNS, found.map((one) => ({
    key: `attempt-${one.number}`,
    cells: [String(one.number), one.worker, one.device, count(one.epoch), count(one.reached), duration(one.seconds),
      [badge(one.outcome), one.reason ? ` ${one.reason}: ${one.message.trim().split("\n").pop()}` : ""]],
  })), { quiet: true, empty: "No worker has had it yet." });
}
