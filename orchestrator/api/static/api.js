// The daemon's API. The token lives in this tab's session storage and travels in one header, never in an address.

const TOKEN = "coldframe-token";

export class ApiError extends Error {
  constructor(status, kind, message) {
    super(message);
    this.status = status;
    this.kind = kind;
  }
}

export function token() {
  return sessionStorage.getItem(TOKEN) ?? "";
}

export function keepToken(value) {
  if (value) sessionStorage.setItem(TOKEN, value);
  else sessionStorage.removeItem(TOKEN);
}

export function headers(more = {}, given = token()) {
  return given ? { ...more, Authorization: `Bearer ${given}` } : more;
}

/** Asks for a path; returns the response, or throws an ApiError (status 0: the daemon was not reached). */
export async function ask(path, { method = "GET", body, signal, given, accept = "application/json" } = {}) {
  const more = body === undefined ? {} : { "Content-Type": "application/json" };
  let response;
  try {
    response = await fetch(path, {
      method,
      signal,
      headers: headers({ Accept: accept, ...more }, given),
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "Unreachable", "the daemon does not answer");
  }
  if (response.ok) return response;
  throw await refusal(response);
}

export async function refusal(response) {
  const told = await response.json().catch(() => ({}));
  const { kind = "Error", message = `the daemon answered ${response.status}` } = told.error ?? {};
  return new ApiError(response.status, kind, message);
}

export async function get(path, options) {
  return (await ask(path, options)).json();
}

export async function text(path, options) {
  const response = await ask(path, { ...options, accept: "text/plain" });
  return response.text();
}

export function search(id, rest = "") {
  return `/v1/searches/${encodeURIComponent(id)}${rest}`;
}

export function job(id, rest = "") {
  return `/v1/jobs/${encodeURIComponent(id)}${rest}`;
}
