// Short messages at the edge of the page, and the ten seconds in which a decision can be undone.

import { html, useEffect, useLayoutEffect, useRef, useState } from "./html.js";
import { post } from "./api.js";
import { count } from "./format.js";
import { useKeys } from "./keys.js";
import { createStore, useStore } from "./store.js";
import { announce, Key } from "./ui.js";

const MOST_SHOWN = 3;
const SHOWN_MS = 8000;
const LATE_MS = 5000;

const notices = createStore([]);
let lastNumber = 0;

/** Show a message. `kind`: "" | "good" | "bad". Messages that need an answer stay. */
export function notify(text, { kind = "", stays = false, undo = null, until = 0 } = {}) {
  const number = (lastNumber += 1);
  const notice = { number, text, kind, undo, until };
  notices.set((all) => [...all, notice].slice(-MOST_SHOWN));
  announce(text);
  if (undo) setTimeout(() => tooLate(number), until - Date.now());
  else if (!stays) setTimeout(() => dismiss(number), SHOWN_MS);
  return number;
}

/** Say for a moment that it is too late to undo, for whoever was about to do it. */
function tooLate(number) {
  notices.set((all) =>
    all.map((one) => (one.number === number ? { ...one, undo: null, late: true } : one)),
  );
  setTimeout(() => dismiss(number), LATE_MS);
}

export const dismiss = (number) =>
  notices.set((all) => all.filter((notice) => notice.number !== number));

/** Tell of a decision that can be undone for `seconds` with `token`. */
export function notifyDecision(text, { token, seconds, onUndone }) {
  if (!token || seconds <= 0) return notify(text, { kind: "good" });
  const undo = { token, onUndone };
  return notify(text, { kind: "good", undo, until: Date.now() + seconds * 1000 });
}

async function takeBack(notice) {
  dismiss(notice.number);
  let undone;
  try {
    ({ undone } = await post("undo", { undo: notice.undo.token }));
  } catch (error) {
    notify(error.message, { kind: "bad" });
    return;
  }
  notify(undone === 1 ? "Undone. The case is open again." : `Undone. ${count(undone)} cases are open again.`);
  notice.undo.onUndone?.();
}

/** Undo the last decision that can be undone. */
export function undoLast() {
  const last = notices.get().findLast((notice) => notice.undo);
  if (last) takeBack(last);
  else announce("There is nothing to undo.");
}

export function Notices() {
  const shown = useStore(notices);
  const last = shown.findLast((notice) => notice.undo);
  const box = useRef(null);
  useKeys({ u: undoLast });
  // Columns that stand beside the notices are shorter by their height, so that nothing is covered.
  useLayoutEffect(() => {
    const root = document.documentElement.style;
    root.setProperty("--notices", `${shown.length > 0 ? box.current.offsetHeight : 0}px`);
  }, [shown]);
  return html`<div class="notices" ref=${box}>
    ${shown.map(
      (notice) => html`<div key=${notice.number} class=${`notice ${notice.kind}`}>
        <span class="notice-text">
          ${notice.text}
          ${
            notice.late &&
            html`<span class="soft block small">Too late to undo. To correct it, open the case.</span>`
          }
        </span>
        ${
          notice.undo &&
          html`<button type="button" class="button small" onClick=${() => takeBack(notice)}>
          <span>Undo <${Countdown} until=${notice.until} /></span>
          ${notice === last && html`<${Key} name="U" />`}
        </button>`
        }
        <button type="button" class="quiet close" onClick=${() => dismiss(notice.number)}>
          <span aria-hidden="true">×</span><span class="unseen-text">Dismiss</span>
        </button>
      </div>`,
    )}
  </div>`;
}

function Countdown({ until }) {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 500);
    return () => clearInterval(timer);
  }, []);
  return html`<span class="number"
    aria-hidden="true">${Math.max(0, Math.ceil((until - now) / 1000))} s</span>`;
}
