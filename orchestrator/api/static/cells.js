// The best networks' cells, drawn by the daemon. They are fetched like everything else, so that the token can be sent.

import { ApiError, ask, search as path } from "./api.js";
import { h } from "./dom.js";
import { accuracy, short } from "./words.js";

const SHOWN = 3;

export class Cells {
  constructor() {
    this.drawn = new Map(); // by candidate: { address, words }, or null where there is no drawing
    this.top = [];
  }

  /** Fetches the drawings that are new among the best. */
  async load(id, top, signal) {
    this.top = top.slice(0, SHOWN);
    await Promise.all(this.top.map(async (one, at) => {
      if (!this.drawn.has(one.candidate)) this.drawn.set(one.candidate, await this.fetch(id, at + 1, signal));
    }));
    const wanted = new Set(this.top.map((one) => one.candidate));
    for (const [candidate, picture] of this.drawn) {
      if (wanted.has(candidate)) continue;
      if (picture) URL.revokeObjectURL(picture.address);
      this.drawn.delete(candidate);
    }
  }

  async fetch(id, rank, signal) {
    try {
      const response = await ask(path(id, `/cells/${rank}.svg`), { signal, accept: "image/svg+xml" });
      const text = await response.text();
      const words = new DOMParser().parseFromString(text, "image/svg+xml").querySelector("title")?.textContent ?? "";
      return { address: URL.createObjectURL(new Blob([text], { type: "image/svg+xml" })), words };
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return null;
      throw error;
    }
  }

  forget() {
    for (const picture of this.drawn.values()) if (picture) URL.revokeObjectURL(picture.address);
    this.drawn.clear();
  }

  render() {
    const shown = this.top.map((one, at) => [one, at, this.drawn.get(one.candidate)]).filter(([, , picture]) => picture);
    if (!shown.length) return null;
    return h("section", { class: "sheet", "aria-labelledby": "cells-title", "data-key": "cells" },
      h("header", {}, h("h2", { id: "cells-title" }, "Best cells")),
      h("div", { class: "cells" }, shown.map(([one, at, picture]) =>
        h("figure", { "data-key": `cell-${one.candidate}` },
          h("figcaption", {}, h("strong", {}, `${at + 1}. `), accuracy(one.accuracy ?? one.test_accuracy), " ", h("span", { class: "id quiet" }, short(one.candidate))),
          h("img", { src: picture.address, alt: picture.words })))));
  }
}
