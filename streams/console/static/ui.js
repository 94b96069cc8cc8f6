// Small parts that several pages use.

import { html, useEffect, useMemo, useRef, useState } from "./html.js";
import { call } from "./api.js";
import { count, label, percent } from "./format.js";
import { useShortcutsOn } from "./keys.js";
import { createStore, useStore } from "./store.js";

// --- what a screen reader hears -------------------------------------------------------------

const spoken = createStore("");

/** Say something to people who do not see the page change. */
export function announce(text) {
  // The same words twice in a row are said twice only if the text changes.
  spoken.set((before) => (before === text ? `${text}\u00a0` : text));
}

export const Announcer = () =>
  html`<div class="unseen-text" role="status" aria-live="polite">${useStore(spoken)}</div>`;

// --- severity: a word, a shape and a colour -------------------------------------------------

const SHAPES = {
  critical: "M8 1 15 8 8 15 1 8Z",
  urgent: "M8 1 15 8 8 15 1 8Z",
  high: "M8 2 15 14 1 14Z",
  medium: "M2.5 2.5h11v11h-11Z",
  normal: "M2.5 2.5h11v11h-11Z",
  low: "M8 2.5a5.5 5.5 0 1 0 .01 0Z",
  informational: "M2 7h12v2H2Z",
};

const HOLLOW = new Set(["low", "normal"]);

export function Severity({ value }) {
  const known = Object.hasOwn(SHAPES, value ?? "") ? value : null;
  if (!value) return html`<span class="severity soft">–</span>`;
  return html`<span class=${`severity severity-${known ?? "other"}`}>
    ${
      known &&
      html`<svg viewBox="0 0 16 16" aria-hidden="true" class=${HOLLOW.has(known) ? "hollow" : ""}>
      <path d=${SHAPES[known]} />
    </svg>`
    }
    <span>${label(value)}</span>
  </span>`;
}

// --- numbers that are seen -------------------------------------------------------------------

export function Meter({ ratio, kind = "" }) {
  const fill = useRef(null);
  const width = `${Math.max(0, Math.min(1, ratio || 0)) * 100}%`;
  return html`<span class=${`meter ${kind}`} aria-hidden="true">
    <span ref=${fill} class="meter-fill" style=${{ width }}></span>
  </span>`;
}

export const Confidence = ({ value, kind }) =>
  html`<span class="confidence">
    <${Meter} ratio=${value} kind=${kind} /><span class="number">${percent(value)}</span>
  </span>`;

export const Tag = ({ children, kind = "" }) =>
  html`<span class=${`tag ${kind}`}>${children}</span>`;

export const Key = ({ name }) =>
  useShortcutsOn() ? html`<kbd aria-hidden="true">${name}</kbd>` : null;

/** A button that prints its key. */
export function KeyButton({ keyName, children, kind = "", onClick, disabled, describedBy }) {
  const on = useShortcutsOn();
  return html`<button
    type="button"
    class=${`button ${kind}`}
    aria-keyshortcuts=${on && keyName ? keyName : undefined}
    aria-describedby=${describedBy}
    disabled=${disabled}
    onClick=${onClick}
  >
    <span>${children}</span>${keyName && html`<${Key} name=${keyName} />`}
  </button>`;
}

// --- states of a page -------------------------------------------------------------------------

export const Loading = ({ what = "Loading" }) =>
  html`<p class="state loading" role="status"><span class="dots" aria-hidden="true"></span>${what}
    …</p>`;

export const Empty = ({ title, children }) =>
  html`<div class="state"><h2>${title}</h2><p>${children}</p></div>`;

export function Failure({ error, onRetry }) {
  const title = error?.status === 403 ? "You may not see this" : "This could not be loaded";
  return html`<div class="state failure" role="alert">
    <h2>${title}</h2>
    <p>${error?.message ?? "Something went wrong on this page."}</p>
    ${onRetry && html`<button type="button" class="button" onClick=${onRetry}>Try again</button>`}
  </div>`;
}

/** Ask the server once per `key`. Gives {data, error, loading, reload}. */
export function useAsked(path, { query, key = "", enabled = true } = {}) {
  const [state, setState] = useState({ loading: true });
  const [round, setRound] = useState(0);
  const asked = `${path} ${key} ${JSON.stringify(query ?? {})}`;
  useEffect(() => {
    if (!enabled) return undefined;
    const controller = new AbortController();
    setState((before) => ({ ...(before.asked === asked ? before : {}), asked, loading: true }));
    call("GET", path, { query, signal: controller.signal }).then(
      (data) => setState({ asked, data, loading: false }),
      (error) => {
        if (controller.signal.aborted) return;
        setState((before) => ({ ...before, asked, error, loading: false }));
      },
    );
    return () => controller.abort();
  }, [asked, round, enabled]);
  return { ...state, reload: () => setRound((n) => n + 1), setState };
}

const WIDE = "(min-width: 60rem)";

/** Whether the window has room for a column beside the list, at this moment. */
export const isWide = () => matchMedia(WIDE).matches;

/** Whether it has; follows its width. */
export function useWide() {
  const media = useMemo(() => matchMedia(WIDE), []);
  const [wide, setWide] = useState(media.matches);
  useEffect(() => {
    const note = () => setWide(media.matches);
    media.addEventListener("change", note);
    return () => media.removeEventListener("change", note);
  }, []);
  return wide;
}

/** What has come since the list was read: above the list, so that nothing moves below a finger. */
export const Arrivals = ({ n, most, onShow }) =>
  html`<div class="arrivals-place">
    ${
      n > 0 &&
      html`<button type="button" class="arrivals" onClick=${onShow}>
        ${`${count(n)}${n >= most ? " or more" : ""} new. Show ${n === 1 ? "it" : "them"}`}
      </button>`
    }
  </div>`;

// --- dialogs ----------------------------------------------------------------------------------

/** A modal dialog. The browser keeps the focus inside and gives it back. */
export function Dialog({ title, onClose, children, wide = false }) {
  const element = useRef(null);
  useEffect(() => {
    const dialog = element.current;
    dialog.showModal();
    const close = () => onClose();
    dialog.addEventListener("close", close);
    return () => {
      dialog.removeEventListener("close", close);
      if (dialog.open) dialog.close();
    };
  }, []);
  const outside = (event) => {
    if (event.target === element.current) element.current.close();
  };
  return html`<dialog ref=${element} class=${wide ? "wide" : ""} aria-labelledby="dialog-title"
    onClick=${outside}>
    <div class="dialog-body">
      <header class="dialog-head">
        <h2 id="dialog-title">${title}</h2>
        <button type="button" class="quiet" onClick=${() => element.current.close()}>
          Close <${Key} name="Esc" />
        </button>
      </header>
      ${children}
    </div>
  </dialog>`;
}

/** The present time, again every `everyMs`: ages on a page grow. */
export function useNow(everyMs = 30_000) {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}
