// Sending decisions, and what is said when they were taken, refused, or somebody was faster.

import { post, session } from "./api.js";
import { label, sentence } from "./format.js";
import { notify, notifyDecision } from "./notices.js";
import { plain } from "./text.js";

/**
 * Send verdicts. Gives {accepted, refused, conflict}, and tells the person what became of them.
 * `onUndone` is called if the person takes them back in time. Raises `ApiError` if nothing is
 * known of them.
 */
export async function sendVerdicts(verdicts, { text, onUndone }) {
  let answer;
  try {
    answer = await post("verdicts", { verdicts });
  } catch (error) {
    // All were refused: the answer says why, one by one.
    if (!Array.isArray(error.answer?.refused) || error.answer.refused.length === 0) throw error;
    answer = { accepted: [], ...error.answer };
  }
  const { accepted, refused } = answer;
  if (accepted.length > 0) {
    notifyDecision(text(accepted.length), {
      token: answer.undo,
      seconds: secondsLeft(answer),
      onUndone,
    });
  }
  return { accepted, refused, conflict: refused.find((one) => one.by) ?? null };
}

function secondsLeft({ until }) {
  const hold = session.get()?.hold_s ?? 10;
  const left = (Date.parse(until ?? "") - Date.now()) / 1000;
  // The clock of the server may differ from that of the browser: never promise more than it holds.
  return Number.isNaN(left) ? hold : Math.max(1, Math.min(hold, left));
}

/** "identity", or "queue: identity, severity: high" */
export function sayLabels(labels) {
  const entries = Object.entries(labels);
  if (entries.length === 1) return label(entries[0][1]);
  return entries.map(([axis, value]) => `${label(axis)}: ${label(value)}`).join(", ");
}

/** Say that a verdict of this person was refused after it had been taken. */
export function tellRefused({ id, reason }) {
  notify(
    `Your decision about ${plain(id).slice(0, 80)} was not taken. ${sentence(plain(reason))}`,
    {
      kind: "bad",
      stays: true,
    },
  );
}
