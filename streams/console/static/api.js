// Everything that is asked of the server, and how its refusals are said.

import { sentence } from "./format.js";
import { createStore } from "./store.js";

/** Who is signed in: undefined until that is known, null if nobody is. */
export const session = createStore(undefined);

/** Why the sign-in page is shown, if there is something to say. */
export const signedOutBecause = createStore("");

export class ApiError extends Error {
  /** `status` is the HTTP status, or 0 if the server did not answer; `answer` is its JSON. */
  constructor(status, message, answer = {}) {
    super(message);
    this.status = status;
    this.answer = answer;
  }
}

const FALLBACKS = {
  0: "The console's server does not answer. Check that `triage console` runs.",
  401: "You are not signed in.",
  403: "You may not do this.",
  404: "There is nothing here by that name.",
  413: "This is too large for the server.",
  429: "Too many requests. Wait a moment and try again.",
  503: "Kafka does not answer at the moment.",
};

const TIMEOUT_MS = 30_000;

/** Ask the server. Raises `ApiError` with one sentence that can be shown. */
export async function call(method, path, { query, body, signal, keepalive = false, again } = {}) {
  const headers = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (method !== "GET") headers["X-CSRF-Token"] = session.get()?.csrf ?? "";
  const limit = AbortSignal.timeout(TIMEOUT_MS);
  const ends = signal ? AbortSignal.any([signal, limit]) : limit;
  let response;
  let answer;
  try {
    response = await fetch(`api/v1/${path}${queryString(query)}`, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
      cache: "no-store",
      redirect: "manual",
      keepalive,
      signal: ends,
    });
    answer = await readJson(response, ends);
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, FALLBACKS[0]);
  }
  if (response.type === "opaqueredirect") {
    // A proxy in front sends people to its own sign-in page, which a program cannot follow.
    throw new ApiError(401, "Your sign-in has ended. Load the page again to go on.");
  }
  if (response.ok) return answer;
  if (response.status === 403 && answer?.code === "csrf" && !again) {
    // The server was started again and has forgotten the token of this page.
    await loadSession();
    return call(method, path, { query, body, signal, keepalive, again: true });
  }
  if (response.status === 401 && session.get() && path !== "session") {
    signedOutBecause.set("Your session has ended. Sign in again to go on.");
    session.set(null);
  }
  throw new ApiError(
    response.status,
    sentence(answer?.error) ||
      (FALLBACKS[response.status] ?? `The server answered ${response.status}.`),
    answer ?? {},
  );
}

async function readJson(response, ends) {
  if (response.status === 204) return null;
  try {
    return await response.json();
  } catch (error) {
    // What breaks off, or comes from something else, is not an answer without a body.
    if (ends.aborted || response.ok) throw error;
    return null;
  }
}

export function queryString(query) {
  const parts = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== undefined && value !== null && value !== "") parts.set(name, String(value));
  }
  const text = parts.toString();
  return text ? `?${text}` : "";
}

const ofDots = (part) => part === "." || part === "..";

/** The path of a case, and the query that names it where a path cannot: an id may be "..". */
export function caseAddress({ domain, tenant, id }, tail = "") {
  const named = ofDots(id) || ofDots(tenant);
  const parts = named ? [domain, "-", "-"] : [domain, tenant, id];
  const path = ["cases", ...parts].map(encodeURIComponent).join("/");
  return { path: tail ? `${path}/${tail}` : path, query: named ? { tenant, id } : {} };
}

/** Ask about one case: `callCase("POST", item, "claim", {body: {}})`. */
export function callCase(method, item, tail, options = {}) {
  const { path, query } = caseAddress(item, tail);
  return call(method, path, { ...options, query: { ...query, ...options.query } });
}

export const get = (path, query, signal) => call("GET", path, { query, signal });
export const post = (path, body, options) => call("POST", path, { body: body ?? {}, ...options });
export const remove = (path, options) => call("DELETE", path, options);

/** Ask who is signed in. Raises `ApiError` if the server does not say. */
export async function loadSession() {
  try {
    const answer = await get("session");
    // Pages are drawn again only if it is somebody else.
    if (session.get()?.name === answer.name) Object.assign(session.get(), answer);
    else session.set(answer);
  } catch (error) {
    if (error.status !== 401) throw error;
    session.set(null);
  }
}

export async function signIn(token) {
  signedOutBecause.set("");
  const answer = await post("session", { token });
  session.set(answer?.name ? answer : await get("session"));
}

export async function signOut() {
  try {
    await remove("session");
  } finally {
    session.set(null);
  }
}

const ROLES = ["viewer", "reviewer", "admin"];

/** Whether the person who is signed in has this role or a higher one. */
export const may = (role) => ROLES.indexOf(session.get()?.role) >= ROLES.indexOf(role);

let labelSets = null;

/** Ask for the labels again when they are needed next: other models may be served. */
export function forgetLabels() {
  labelSets = null;
}

/** {domain: {axis: [{value, description}]}}; asked once. */
export async function loadLabels() {
  labelSets ??= get("labels").catch((error) => {
    labelSets = null;
    throw error;
  });
  return labelSets;
}
