// Draws the views as of 50 searches, 2 workers with 2,000 attempts each, and 5,000 candidates; tells the medians in ms.
const done = arguments[0];
const id = (number) => number.toString(16).padStart(64, "0");
const totals = { requests: 900, jobs: 900, attempts: 900, epochs_trained: 900, epochs_resumed_over: 9, memo_hits: 9, seconds: 9000 };
const searches = Array.from({ length: 50 }, (_, at) => ({
  search: id(at), name: `search ${at}`, status: "running", owner: "somebody", opened: at, best_accuracy: 0.9, totals, running: [],
  epochs_saved_by_memo: 3, weight: 1, priority: 0, done: at, total: 100, label: "cycle 2 of 9", waits: [{ what: "it waits", until: "it ends" }],
}));
const now = 10_000;
const segments = (worker) => Array.from({ length: 2000 }, (_, at) => ({
  start: now - 3600 + at * 1.8, end: now - 3600 + at * 1.8 + 1.7, search: id(at % 50), job: id(at), words: "train 3f2a to 9", kind: "train", outcome: "succeeded",
}));
const points = Array.from({ length: 1200 }, (_, at) => [at * 4, (at * 7919 % 1000) / 1000]);
const line = Array.from({ length: 240 }, (_, at) => [at, at / 300, at / 250]);

Promise.all(["overview", "search", "dom", "events", "timeline"].map((name) => import(`/static/${name}.js`))).then(([overview, search, dom, events, timeline]) => {
  const latest = new events.Latest();
  const page = {
    latest, colours: new timeline.Colours(), jobs: new Map(), doing: new Map(), unlocked: true, name: (one) => one.slice(-4), now: () => now,
    uptime: () => 9, measure: (_, guess) => guess, of: () => true,
  };
  const first = new overview.Overview(page);
  first.minutes = 60;
  first.data = { searches, devices: [], workers: [0, 1].map((at) => ({ worker: `worker-${at}`, device: "cpu", segments: segments(at) })) };
  const second = new search.Search(page, id(1));
  second.data = {
    status: { ...searches[1], runs: 1, jobs_by_state: { queued: 9 }, message: "" }, waits: [], failures: [],
    rungs: [20, 40, 60].map((epochs) => ({ epochs, candidates: 900, mean: 0.5, best: 0.9, latest: 20, points: line })),
    candidates: { total: 5000, scored: 5000, failed: 0, points, best: [[0, 0.1], [9, 0.9]], top: [] },
  };
  const place = document.createElement("main");
  document.body.append(place);
  const median = (view) => {
    const took = Array.from({ length: 15 }, (_, at) => {
      latest.take({ sequence: 1e9 + at, time: now + at, type: "search_finished", search: id(1) });
      const began = performance.now();
      dom.show(place, view.render(1280));
      place.getBoundingClientRect(); // laid out too
      return performance.now() - began;
    });
    return took.sort((a, b) => a - b)[7];
  };
  const found = { overview: median(first), nodes: place.querySelectorAll("*").length, search: median(second) };
  place.remove();
  done(found);
}, (why) => done({ why: String(why) }));
