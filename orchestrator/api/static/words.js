// Numbers, times and events in words: the same words as the command line's.

const SHORT = 12;

export function accuracy(value) {
  return value === null || value === undefined ? "–" : `${(value * 100).toFixed(2)} %`;
}

export function count(value) {
  return value === null || value === undefined ? "–" : Math.round(value).toLocaleString("en-GB");
}

export function amount(value) {
  if (value === null || value === undefined) return "–";
  for (const [size, unit, least] of [[1e9, "G", 1e8], [1e6, "M", 1e5], [1e3, "k", 1e3]]) {
    if (value >= least) return `${Number(value / size).toPrecision(3)} ${unit}`;
  }
  return value.toFixed(0);
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  const minutes = Math.round(seconds / 60);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${String(Math.floor(seconds % 60)).padStart(2, "0")} s`;
  if (minutes < 2880) return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
  return `${Math.floor(minutes / 1440)} d ${Math.floor((minutes % 1440) / 60)} h`;
}

export function bytes(value) {
  if (value === null || value === undefined) return "–";
  let left = value;
  for (const unit of ["B", "KiB", "MiB", "GiB"]) {
    if (left < 1024) return `${unit === "B" ? left : left.toFixed(1)} ${unit}`;
    left /= 1024;
  }
  return `${left.toFixed(1)} TiB`;
}

export function clock(time, dated = false) {
  const date = new Date(time * 1000);
  const text = date.toLocaleTimeString("en-GB");
  return dated ? `${date.toLocaleDateString("en-CA")} ${text}` : text;
}

export function short(id) {
  return (id ?? "").slice(0, SHORT);
}

export function plural(number, word) {
  return `${count(number)} ${word}${number === 1 ? "" : "s"}`;
}

export function percent(share) {
  return share === null || share === undefined ? "–" : `${Math.round(share * 100)} %`;
}
