// The page: which view is shown, when it is asked for anew, what the stream says, what the person may do.

import { ApiError, ask, get, keepToken, search as searchPath } from "./api.js";
import { h, show } from "./dom.js";
import { Latest } from "./events.js";
import { Job } from "./job.js";
import { Overview } from "./overview.js";
import { Search } from "./search.js";
import { Stream } from "./stream.js";
import { Colours } from "./timeline.js";
import { duration, short } from "./words.js";

const REFRESH_MS = 5_000; // the page asks at most so often, and only after something has happened
const REPAINT_MS = 250;
const JOBS = 5_000;
const BACKLOG = 60; // events of before the page was opened

const at = (id) => document.getElementById(id);

class Page {
  constructor() {
    this.latest = new Latest();
    this.colours = new Colours();
    this.names = new Map();
    this.widths = new Map();
    this.jobs = new Map(); // which search a job in the list of events is of
    this.doing = new Map();
    this.health = null;
    this.skew = 0; // seconds that the daemon's clock is ahead of this one
    this.unlocked = false;
    this.dirty = false;
    this.began = null; // the journal's last event when the stream was first opened
    this.painting = null;
    this.due = null;
    this.asked = 0;
    this.loading = null;
    this.view = null;
    this.stream = new Stream({
      event: (sequence, event) => this.happened({ ...event, sequence }),
      passing: (kind, value) => this.passed(kind, value),
      state: (state, error) => this.linked(state, error),
    });
  }

  // What views ask for

  name(id) {
    return this.names.get(id) ?? short(id);
  }

  learn(searches) {
    for (const one of searches) this.names.set(one.search, one.name);
  }

  now() {
    return Date.now() / 1000 + this.skew;
  }

  uptime() {
    return this.health ? this.health.uptime_seconds + (performance.now() - this.health.at) / 1000 : null;
  }

  /** Whether an event is of a search, or of a job that the search has asked for. */
  of(event, search) {
    return (event.search ?? this.jobs.get(event.job)) === search;
  }

  // Beginning

  async start() {
    window.addEventListener("hashchange", () => this.route(true));
    document.addEventListener("click", (event) => this.clicked(event));
    document.addEventListener("submit", (event) => this.submitted(event));
    new ResizeObserver(() => this.paint()).observe(at("main"));
    document.addEventListener("visibilitychange", () => this.seen(document.visibilityState === "visible"));
    setInterval(() => this.paint(), REFRESH_MS); // time goes on where nothing happens
    this.route(false);
    await this.enter();
  }

  /** Connects, with the token if there is one; asks for it where it is needed. */
  async enter() {
    try {
      const access = await get("/v1/access");
      if (!access.public_reading && !access.token) return this.locked("");
      this.unlocked = access.token;
      await this.look();
      this.began = this.health.sequence;
      this.stream.start(Math.max(0, this.health.sequence - BACKLOG));
      await this.load();
    } catch (error) {
      if (error.status === 401) return this.locked("The daemon does not know this token (any more).");
      this.failed(error);
      setTimeout(() => this.enter(), REFRESH_MS);
    }
    this.frame();
  }

  /** A tab that nobody sees lets go of its stream: a browser has six connections to a daemon for all its tabs. */
  seen(visible) {
    if (!visible) this.stream.stop();
    else if (this.began !== null && !this.stream.running) this.stream.start(this.stream.last);
    this.refresh();
  }

  async look() {
    this.health = { ...(await get("/v1/health")), at: performance.now() };
    this.version ??= (await get("/v1/version")).version;
  }

  route(moved) {
    const [, kind, id] = location.hash.split("/").map(decodeURIComponent);
    this.view?.leave?.();
    this.loading?.abort();
    if (kind === "search" && id) this.view = new Search(this, id);
    else if (kind === "job" && id) this.view = new Job(this, id);
    else this.view = new Overview(this);
    this.error = null;
    this.paint();
    if (!moved) return;
    window.scrollTo(0, 0);
    at("main").focus({ preventScroll: true });
    this.load();
  }

  // Asking and showing

  async load() {
    const view = this.view;
    this.loading?.abort();
    const loading = new AbortController();
    this.loading = loading;
    this.dirty = false;
    try {
      await view.load(loading.signal);
      this.error = null;
    } catch (error) {
      if (error.name === "AbortError") return;
      if (view === this.view) this.error = error;
      if (error.status === 401) this.locked("The daemon does not know this token (any more).");
    }
    if (this.loading === loading) this.loading = null;
    this.asked = performance.now();
    if (view === this.view) this.paint();
    this.refresh();
  }

  /** Asks anew when something has happened: not more often than every REFRESH_MS, nor while an answer is waited for. */
  async refresh() {
    if (!this.dirty || this.loading || this.due || document.visibilityState !== "visible") return;
    const wait = this.asked + REFRESH_MS - performance.now();
    if (wait > 0) {
      this.due = setTimeout(() => {
        this.due = null;
        this.refresh();
      }, wait);
      return;
    }
    await this.look().catch(() => undefined);
    await this.load();
  }

  paint() {
    this.painting ??= setTimeout(() => {
      this.painting = null;
      const view = this.view;
      document.title = `${view.title} · coldframe`;
      this.draw(view);
      if (this.remeasure()) this.draw(view);
      this.frame();
    }, this.view.data ? REPAINT_MS : 0);
  }

  draw(view) {
    const shown = this.error && !view.data ? null : view.render(at("main").clientWidth);
    show(at("main"), this.error ? this.trouble(this.error) : null, shown);
  }

  /** How wide the first of some elements is: as it was drawn last, or a guess until it has been. */
  measure(selector, guess) {
    this.widths.set(selector, this.widths.get(selector) ?? guess);
    return this.widths.get(selector);
  }

  remeasure() {
    let changed = false;
    for (const [selector, width] of this.widths) {
      const now = Math.floor(document.querySelector(selector)?.getBoundingClientRect().width ?? 0);
      if (now && now !== width) changed = Boolean(this.widths.set(selector, now));
    }
    return changed;
  }

  trouble(error) {
    if (error.status === 0 && this.view.data) return null; // the bar says that the daemon is away; what is shown stays
    const words = error instanceof ApiError ? error.message : `this page failed: ${error.message}`;
    return h("div", { class: "view", "data-key": "trouble" }, h("section", { class: "sheet", role: "alert" },
      h("h1", {}, error.status === 404 ? "There is no such thing" : "That did not work"),
      h("p", { class: "empty" }, words), h("p", {}, h("a", { href: "#/" }, "All searches"))));
  }

  frame() {
    at("mode").textContent = this.unlocked ? "Orders allowed" : "Read only";
    at("access").textContent = this.unlocked ? "Lock" : "Unlock";
    const health = this.health;
    at("daemon").textContent = health ? `event ${health.sequence.toLocaleString("en-GB")}, up for ${duration(this.uptime())}` : "";
    at("foot").textContent = this.version ? `coldframe ${this.version}` : "coldframe";
    const bad = health && !["ok", "starting"].includes(health.status);
    const words = this.notice ?? (bad ? `The daemon is ${health.status}: ${health.reason}` : this.reason ? `Nothing new can start: ${this.reason}` : "");
    at("notice").hidden = !words;
    at("notice").textContent = words;
  }

  // What the stream says

  happened(event) {
    if (this.health) this.health.sequence = Math.max(this.health.sequence, event.sequence);
    if (event.type === "requested") this.place(event.job, event.search);
    if (event.type === "search_opened") this.names.set(event.search, event.spec?.name ?? short(event.search));
    if (["job_succeeded", "job_failed", "job_stopped", "attempt_failed"].includes(event.type)) this.rest(event.job);
    const news = event.sequence > this.began && ["search_finished", "search_failed"].includes(event.type);
    if (news) this.say(`Search ${this.name(event.search)} ${event.type.slice(7)}`);
    this.dirty ||= this.view.concerns(event);
    this.view.happened?.(event);
    if (this.latest.take(event)) this.paint();
    this.refresh();
  }

  /** Notes of which search a job is; of the latest only. */
  place(job, search) {
    this.jobs.set(job, search);
    if (this.jobs.size > JOBS) this.jobs.delete(this.jobs.keys().next().value);
  }

  rest(job) {
    for (const [worker, one] of this.doing) if (one.job === job) this.doing.delete(worker);
  }

  passed(kind, value) {
    if (kind === "progress") this.doing.set(value.worker, value);
    else if (kind === "waiting") this.reason = value.reason;
    else if (kind === "strategy") this.moved(value);
    this.paint();
  }

  moved({ search, done, total, label }) {
    const { data } = this.view;
    const known = data?.searches?.find((one) => one.search === search) ?? (data?.status?.search === search ? data.status : null);
    if (known) Object.assign(known, { done, total, label });
  }

  linked(state, error) {
    const words = { connecting: "connecting", live: "live", lost: "not connected", refused: "refused" };
    const before = at("link").dataset.state;
    at("link").dataset.state = state;
    at("link-words").textContent = words[state];
    if (state === "refused") this.locked(error.message);
    if (state === "lost" && before === "live") {
      this.notice = "The daemon does not answer. What stands here is the last that it said; this page goes on when it is back.";
      this.say("Connection to the daemon lost");
    }
    if (state === "live" && before === "lost") {
      this.notice = null;
      this.dirty = true;
      this.say("Connected to the daemon again");
      this.refresh();
    }
    this.frame();
  }

  say(words) {
    at("announce").textContent = words;
  }

  failed(error) {
    this.linked("lost");
    if (error.status !== 0) this.error = error;
    this.notice = "The daemon does not answer. This page goes on when it is back.";
    this.paint();
  }

  // What the person does

  locked(words) {
    this.unlocked = false;
    keepToken("");
    this.frame();
    at("token-wrong").textContent = words;
    if (!at("token-dialog").open) at("token-dialog").showModal();
  }

  async clicked(event) {
    if (event.target.closest(".skip")) { // its address would be taken for that of a view
      event.preventDefault();
      at("main").focus();
    }
    const target = event.target.closest("button[data-action]");
    if (!target) return;
    const { action, search, name } = target.dataset;
    if (action === "token") this.token();
    else if (action === "token-close") at("token-dialog").close();
    else if (action === "stop-close") at("stop-dialog").close();
    else if (action === "stop") this.confirm(search, name);
    else if (action === "pause" || action === "resume") await this.order("POST", searchPath(search, `/${action}`), `${name}: ${action}d`);
    else if (action === "return-device") await this.order("POST", `/v1/devices/${encodeURIComponent(target.dataset.device)}/return`, `${target.dataset.device} is taken back`);
    else this.view.act?.(action, target);
    this.paint();
  }

  async submitted(event) {
    event.preventDefault();
    const form = event.target;
    if (form.id === "token-form") await this.unlock(new FormData(form).get("token").trim());
    else if (form.id === "stop-form") {
      at("stop-dialog").close();
      await this.order("POST", searchPath(form.dataset.search, "/stop"), `${form.dataset.name}: stopped`);
    } else if (form.dataset.action === "share") {
      const { weight, priority } = Object.fromEntries(new FormData(form));
      await this.order("PUT", searchPath(form.dataset.search, "/priority"), "Share set", { weight: Number(weight), priority: Number(priority) });
    }
  }

  token() {
    if (!this.unlocked) return this.locked("");
    keepToken("");
    this.unlocked = false;
    this.stream.stop();
    this.say("Locked: this page is read only");
    return this.enter();
  }

  async unlock(given) {
    at("token-wrong").textContent = "";
    try {
      await ask("/v1/access", { given });
    } catch (error) {
      at("token-wrong").textContent = error.status === 401 ? "That is not the daemon's token." : `It could not be tried: ${error.message}.`;
      at("token-input").select();
      return;
    }
    keepToken(given);
    at("token-form").reset();
    at("token-dialog").close();
    this.say("Unlocked");
    await this.enter();
  }

  confirm(search, name) {
    Object.assign(at("stop-form").dataset, { search, name });
    at("stop-words").textContent = `${name} ends in good order: its jobs save a checkpoint and stop. It can be resumed later.`;
    at("stop-dialog").showModal();
  }

  async order(method, path, words, body = {}) {
    try {
      await ask(path, { method, body });
      this.notice = null;
      this.say(words);
    } catch (error) {
      this.notice = `That was refused: ${error.message}`;
      this.say(this.notice);
      if (error.status === 401) this.locked("The daemon does not know this token (any more).");
    }
    await this.load();
  }
}

new Page().start();
