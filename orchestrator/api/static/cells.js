// The best networks' cells, drawn by the daemon. They are fetched like everything else, so that the token can be sent.

import { ApiError, ask, search as path } from "./api.js";
import { h } from "./dom.js";
import { accuracy, short } from "./words.js";

const SHOWN = 3;

export class Cells {
  constructor() {
    this.drawn = new Map(); // by candidate: { address, words }, or null where there is no drawing
    this.top = [];
    this.rank = 1;
  }

  /** Fetches the drawings that are new among the best, and gives up those that are no more. */
  async load(id, top, signal) {
    this.top = top.slice(0, SHOWN);
    await Promise.all(this.top.map(async (one, at) => {
      if (this.drawn.has(one.candidate)) return;
      const picture = await fetched(id, at + 1, signal);
      this.drawn.set(picture?.candidate ?? one.candidate, picture); // another's, if there is a new best since
    }));
    const wanted = new Set(this.top.map((one) => one.candidate));
    for (const candidate of [...this.drawn.keys()]) if (!wanted.has(candidate)) this.drop(candidate);
  }

  drop(candidate) {
    const picture = this.drawn.get(candidate);
    if (picture) URL.revokeObjectURL(picture.address);
    this.drawn.delete(candidate);
  }

  forget() {
    for (const candidate of [...this.drawn.keys()]) this.drop(candidate);
  }

  render() {
    if (!this.top.length || this.top.every((one) => this.drawn.get(one.candidate) === null)) return null;
    const chosen = this.top[this.rank - 1] ?? this.top[0];
    const picture = this.drawn.get(chosen.candidate); // undefined: it is on its way
    return h("section", { class: "sheet", "aria-labelledby": "cells-title", "data-key": "cells" },
      h("header", {}, h("h2", { id: "cells-title" }, "Best cells"),
        h("div", { class: "choice", role: "group", "aria-label": "Which of the best" }, this.top.map((_, at) =>
          h("button", { type: "button", "data-action": "rank", "data-rank": at + 1, "aria-pressed": String(this.rank === at + 1) }, `No. ${at + 1}`)))),
      h("figure", { class: "cell" },
        h("figcaption", { class: "quiet" }, accuracy(chosen.accuracy ?? chosen.test_accuracy), ", candidate ", h("span", { class: "id" }, short(chosen.candidate))),
        picture
          ? drawing(picture)
          : h("p", { class: "empty hold" }, picture === null ? "There is no drawing of this kind of network." : "It is being drawn.")));
  }
}

function drawing({ address, words, width, height }) {
  return h("div", { class: "drawn" },
    h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Drawing" },
      h("img", { src: address, alt: "The network's drawing; the same in words beside it.", width: Math.round(width), height: Math.round(height) })),
    h("p", { class: "quiet" }, words));
}

async function fetched(id, rank, signal) {
  try {
    const response = await ask(path(id, `/cells/${rank}.svg`), { signal, accept: "image/svg+xml" });
    const [text, candidate] = [await response.text(), response.headers.get("X-Candidate")];
    const [width, height] = (/viewBox="0 0 ([\d.]+) ([\d.]+)"/.exec(text) ?? [0, 4, 3]).slice(1).map(Number);
    return { address: URL.createObjectURL(new Blob([text], { type: "image/svg+xml" })), words: title(text), width, height, candidate };
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null;
    throw error;
  }
}

/** What a drawing's title says; only the title is parsed, as the rest has styles of its own. */
function title(text) {
  const found = /<title>[^<]*<\/title>/.exec(text);
  return found ? new DOMParser().parseFromString(found[0], "text/xml").documentElement.textContent : "";
}
