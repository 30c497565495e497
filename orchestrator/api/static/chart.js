// Charts in SVG: axes with few round ticks, lines told apart by colour, dash and a name at their end.

import { h, s } from "./dom.js";

const HEIGHT = 260;
const EDGE = { top: 14, right: 18, bottom: 40, left: 52 };

/** Round values from low to high, about so many. */
export function ticks(low, high, about) {
  if (!(high > low)) return [low];
  const rough = (high - low) / Math.max(about, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((size) => size >= rough * 0.999);
  const found = [];
  for (let at = Math.ceil(low / step - 1e-9); at * step <= high + step * 1e-9; at += 1) found.push(at * step || 0); // never -0
  return found;
}

function extent(values, padding) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low === Infinity) return [0, 1];
  const room = (high - low || Math.abs(high) || 1) * padding;
  return [low - room, high + room];
}

/**
 * A chart.
 *
 * series: [{ name, look, points: [[x, y], ...], kind: "line" | "step" | "dots" }]; look: 0.. picks colour and dash.
 * x, y: { label, format, padding, domain }. width: of the place that it has, in CSS pixels.
 */
export function chart({ id, title, series, x, y, width }) {
  const right = EDGE.right;
  const box = { left: EDGE.left, top: EDGE.top, width: width - EDGE.left - right, height: HEIGHT - EDGE.top - EDGE.bottom };
  const points = series.flatMap((one) => one.points);
  const xs = x.domain ?? extent(points.map((point) => point[0]), x.padding ?? 0);
  const ys = y.domain ?? extent(points.map((point) => point[1]), y.padding ?? 0.08);
  const span = (domain) => domain[1] - domain[0] || 1;
  const px = (value) => box.left + ((value - xs[0]) / span(xs)) * box.width;
  const py = (value) => box.top + box.height - ((value - ys[0]) / span(ys)) * box.height;
  return s("svg", { class: "chart", viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: "img", "aria-labelledby": `${id}-title` },
    s("title", { id: `${id}-title` }, title),
    ticks(ys[0], ys[1], 5).map((value) => [
      s("line", { class: "grid", x1: box.left, x2: box.left + box.width, y1: round(py(value)), y2: round(py(value)) }),
      s("text", { class: "tick", x: box.left - 8, y: round(py(value)), "text-anchor": "end", dy: "0.32em" }, y.format(value)),
    ]),
    ticks(xs[0], xs[1], width < 480 ? 4 : 8).map((value) =>
      s("text", { class: "tick", x: round(px(value)), y: box.top + box.height + 18, "text-anchor": "middle" }, x.format(value))),
    s("line", { class: "axis", x1: box.left, x2: box.left + box.width, y1: box.top + box.height, y2: box.top + box.height }),
    s("text", { class: "label", x: box.left + box.width, y: HEIGHT - 6, "text-anchor": "end" }, x.label),
    series.map((one) => drawn(one, px, py)));
}

function drawn(one, px, py) {
  const look = `series look-${one.look}`;
  if (!one.points.length) return null;
  if (one.kind === "dots") { // one path, whatever their number: thousands of elements would be slow
    const path = one.points.map(([a, b]) => `M${round(px(a))} ${round(py(b))}h0`).join("");
    return s("path", { class: `${look} dots`, d: path });
  }
  const [first, ...rest] = one.points.map(([a, b]) => [round(px(a)), round(py(b))]);
  const path = rest.map(([a, b]) => (one.kind === "step" ? `H${a}V${b}` : `L${a} ${b}`)).join("");
  const end = rest.length ? rest[rest.length - 1] : first;
  return [
    s("path", { class: look, d: `M${first[0]} ${first[1]}${path}` }),
    s("circle", { class: `${look} end`, cx: end[0], cy: end[1], r: 3.2 }),
  ];
}

function round(value) {
  return Math.round(value * 10) / 10;
}

/** What each series is, beside a sample of its line. */
export function legend(series) {
  return h("ul", { class: "legend" }, series.map((one) =>
    h("li", {},
      s("svg", { width: 26, height: 10, "aria-hidden": "true" },
        one.kind === "dots"
          ? s("path", { class: `series look-${one.look} dots`, d: "M13 5h0" })
          : s("path", { class: `series look-${one.look}`, d: "M1 5H25" })),
      one.name, one.value ? h("b", {}, one.value) : null)));
}

/** The chart with its heading, legend and, for those who cannot see it or want the numbers, its table. */
export function figure({ id, heading, note, picture, series, data }) {
  return h("figure", { class: "plot", "data-key": id },
    h("figcaption", {}, h("h2", {}, heading), note ? h("p", { class: "quiet" }, note) : null),
    legend(series),
    picture,
    h("details", {}, h("summary", {}, "Numbers of this chart"), data));
}
