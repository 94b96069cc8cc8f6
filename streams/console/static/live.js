// The stream of server-sent events: one connection for all pages. It comes back by itself, and
// `connection` says in which state it is.

import { forgetLabels, loadSession, session, signedOutBecause } from "./api.js";
import { createStore } from "./store.js";

const FIRST_DELAY_S = 1;
const LONGEST_DELAY_S = 15;
// A browser has six connections to a server. Pages that nobody looks at must not hold them.
const HIDDEN_MS = 60_000;
const KINDS = ["decision", "case", "claim", "held", "refused", "status", "models", "reset"];

const UNKNOWN = { state: "connecting", broker: "up", sentence: null, waiting: 0 };

/**
 * state: connecting | live | retrying; broker: up | away, with what the server says of it;
 * waiting: verdicts that are not sent yet; since: when the state began (ms).
 */
export const connection = createStore({ ...UNKNOWN, since: Date.now() });

const listeners = new Map(KINDS.map((kind) => [kind, new Set()]));
const recoveries = new Set();
let source = null;
let timer = 0;
let failures = 0;

/** Call `listener` with the data of every event of this kind. Gives what ends that. */
export function on(kind, listener) {
  listeners.get(kind).add(listener);
  return () => listeners.get(kind).delete(listener);
}

/** Call `listener` when the connection is back after it was lost: what is shown may be old. */
export function onRecovery(listener) {
  recoveries.add(listener);
  return () => recoveries.delete(listener);
}

export function start() {
  if (source || timer) return;
  open();
}

export function stop() {
  clearTimeout(timer);
  timer = 0;
  source?.close();
  source = null;
  failures = 0;
  connection.set({ ...UNKNOWN, since: Date.now() });
}

export function retryNow() {
  clearTimeout(timer);
  timer = 0;
  comeBack();
}

function open() {
  source = new EventSource("api/v1/stream");
  source.onopen = () => {
    const wasLost = failures > 0;
    failures = 0;
    connection.set((now) => ({ ...now, state: "live", since: Date.now() }));
    // Another model may have taken over meanwhile.
    if (wasLost) {
      forgetLabels();
      recover();
    }
  };
  source.onerror = fail;
  for (const kind of KINDS) source.addEventListener(kind, (event) => deliver(kind, event));
}

// The browser's own retries give up at the first answer that is not 200, and say nothing of when
// they try. So every failure is taken over here.
function fail() {
  source?.close();
  source = null;
  failures += 1;
  const delayS = Math.min(LONGEST_DELAY_S, FIRST_DELAY_S * 2 ** (failures - 1));
  connection.set((now) => ({
    ...now,
    state: "retrying",
    since: now.state === "retrying" ? now.since : Date.now(),
    nextTryAt: Date.now() + delayS * 1000,
  }));
  clearTimeout(timer);
  timer = setTimeout(comeBack, delayS * 1000);
}

/** A server that was started again knows nobody: ask who is signed in before the stream. */
async function comeBack() {
  timer = 0;
  const wasSignedIn = session.get();
  try {
    await loadSession();
  } catch {
    fail();
    return;
  }
  if (session.get()) open();
  else if (wasSignedIn) signedOutBecause.set("Your session has ended. Sign in again to go on.");
}

function deliver(kind, event) {
  let data;
  try {
    data = JSON.parse(event.data);
  } catch {
    return;
  }
  if (kind === "status") noteStatus(data);
  if (kind === "models") forgetLabels();
  if (kind === "models" || kind === "reset") recover();
  for (const listener of [...listeners.get(kind)]) listener(data);
}

function noteStatus(status) {
  const before = connection.get();
  const broker = status.broker === "away" ? "away" : "up";
  const changed = before.broker !== broker;
  connection.set({
    ...before,
    broker,
    sentence: status.sentence ?? null,
    waiting: status.waiting ?? 0,
    since: changed ? Date.now() : before.since,
  });
  if (changed && broker === "up") recover();
}

function recover() {
  for (const listener of [...recoveries]) listener();
}

let hiddenTimer = 0;

document.addEventListener("visibilitychange", () => {
  clearTimeout(hiddenTimer);
  if (document.hidden) {
    hiddenTimer = setTimeout(() => {
      source?.close();
    }, HIDDEN_MS);
  } else if (source?.readyState === EventSource.CLOSED) {
    // What came meanwhile was missed: counted as a failure, so that pages read anew.
    failures = Math.max(1, failures);
    open();
  }
});

addEventListener("online", () => {
  if (connection.get().state === "retrying") retryNow();
});
