// Deciding many cases at once. Nothing is sent before the person has seen what it will touch.

import { html, useEffect, useMemo, useRef, useState } from "../html.js";
import { callCase, loadLabels, post, session } from "../api.js";
import { caseKey, workList } from "../caselist.js";
import { sayLabels, sendVerdicts } from "../decide.js";
import { casesFound } from "../filters.js";
import { facetOf, label, percent, plural, sentence } from "../format.js";
import { notify } from "../notices.js";
import { Inline, plain } from "../text.js";
import { Dialog, Failure, Loading, Severity } from "../ui.js";

const MOST_AT_ONCE = 1000;

/** Cases that were chosen in the queue: each gets its own proposal, or all the same queue. */
export function BulkDialog({ cases, onClose, onDone }) {
  const [labels, setLabels] = useState(null);
  const [error, setError] = useState(null);
  const [value, setValue] = useState("");
  useEffect(() => {
    loadLabels().then(setLabels, setError);
  }, []);
  const domains = new Set(cases.map((item) => item.domain));
  const [domain] = domains;
  if (error)
    return html`<${Dialog} title="Decide together" onClose=${onClose}><${Failure} error=${error}
      /><//>`;
  if (!labels)
    return html`<${Dialog} title="Decide together" onClose=${onClose}><${Loading} /><//>`;
  const axisOf = (one) => labels.queue_axis?.[one] ?? "queue";
  return html`<${Dialog} title="Decide together" wide=${true} onClose=${onClose}>
    <label class="choice block">
      <span>Decision for ${casesFound(cases.length)}</span>
      <select value=${value} onChange=${(event) => setValue(event.target.value)}>
        <option value="">accept the proposed queue of each</option>
        ${
          domains.size === 1 &&
          (labels[domain]?.[axisOf(domain)] ?? []).map(
            (one) =>
              html`<option value=${one.value}>${label(axisOf(domain))}: ${label(one.value)} for
                all</option>`,
          )
        }
      </select>
    </label>
    ${
      domains.size > 1 &&
      html`<p class="note">These are alerts and tickets. Choose cases of one domain to give all the
        same queue.</p>`
    }
    <${Preview}
      cases=${cases}
      labelsOf=${(item) => ({ [axisOf(item.domain)]: value || item.queue })}
      onClose=${onClose}
      onDone=${onDone}
    />
  <//>`;
}

/**
 * The case that is open, those with the same fingerprint, and those near to it: all that are ticked
 * get the same labels. Those that are only near are not ticked until the person does it.
 */
export function AlikeDialog({ item, data, values, comment, onClose, onDone }) {
  const [state, setState] = useState(null);
  useEffect(() => {
    callCase("GET", item, "alike").then(
      (answer) => setState({ same: answer.cases, near: answer.near ?? [] }),
      (error) => setState({ error }),
    );
  }, []);
  const cases = useMemo(
    () => (state?.same ? [data.case, ...state.same, ...state.near] : []),
    [state],
  );
  return html`<${Dialog} title="Decide all that are alike" wide=${true} onClose=${onClose}>
    <p>All that are ticked get <strong>${sayLabels(values)}</strong>.</p>
    ${state?.error && html`<${Failure} error=${state.error} />`}
    ${!state && html`<${Loading} what="Looking for cases that are alike" />`}
    ${
      cases.length > 0 &&
      html`<${Preview}
      cases=${cases}
      groups=${groupsOf(state)}
      labelsOf=${() => values}
      comment=${comment}
      onClose=${onClose}
      onDone=${onDone}
    />`
    }
  <//>`;
}

/** Heads of the preview: {at: the first case of a group, title, note, near}. */
function groupsOf({ same, near }) {
  const groups = [{ at: 0, title: "This case" }];
  if (same.length > 0) {
    groups.push({
      at: 1,
      title: `The same: ${casesFound(same.length)}`,
      note: "Same source, and the same title apart from numbers and names.",
    });
  }
  if (near.length > 0) {
    groups.push({
      at: 1 + same.length,
      title: `Only near: ${casesFound(near.length)}`,
      note: "Many words are the same. Read them, and tick those that belong here.",
      near: true,
    });
  }
  return groups;
}

function Preview({ cases, groups = [], labelsOf, comment, onClose, onDone }) {
  const nearFrom = groups.find((group) => group.near)?.at ?? cases.length;
  const [off, setOff] = useState(() => new Set(cases.slice(nearFrom).map(caseKey)));
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState("");
  const taken = cases.filter((item) => !off.has(caseKey(item))).slice(0, MOST_AT_ONCE);
  const verdicts = taken.map((item) => ({
    id: item.id,
    domain: item.domain,
    tenant: item.tenant,
    labels: labelsOf(item),
    ...(comment?.trim() ? { comment: comment.trim() } : {}),
  }));
  const refusals = useDryRun(verdicts);
  const near = cases.slice(nearFrom);
  const allNear = near.every((item) => !off.has(caseKey(item)));
  const toggleNear = () => {
    const next = new Set(off);
    for (const item of near) {
      if (allNear) next.add(caseKey(item));
      else next.delete(caseKey(item));
    }
    setOff(next);
  };
  const toggle = (item) => {
    const next = new Set(off);
    if (!next.delete(caseKey(item))) next.add(caseKey(item));
    setOff(next);
  };
  const send = async () => {
    setBusy(true);
    setFailure("");
    try {
      await sendAll(verdicts, taken);
      onClose();
      onDone();
    } catch (error) {
      setFailure(error.message);
      setBusy(false);
    }
  };
  const button = useRef(null);
  useEffect(() => button.current.focus(), []);
  const refused = taken.filter((item) => refusals.has(caseKey(item))).length;
  return html`
    <div class="preview" tabindex="0" role="region" aria-label="What this will touch">
      <table class="lines">
        <thead>
          <tr>
            <th scope="col"><span class="unseen-text">Take it</span></th>
            <th scope="col">Case</th><th scope="col">Severity, priority</th><th scope="col">Tenant</th>
            <th scope="col">Now</th><th scope="col">Then</th>
          </tr>
        </thead>
        <tbody>
          ${cases.map((item, at) => {
            const key = caseKey(item);
            const reason = refusals.get(key);
            const group = groups.find((one) => one.at === at);
            return html`${
              group &&
              html`<tr class="group" key=${group.title}>
                <th scope="rowgroup" colspan="6">
                  <strong>${group.title}.</strong>
                  ${group.note && html` <span class="soft small">${group.note}</span>`}
                  ${
                    group.near &&
                    html` <button type="button" class="quiet" data-action="tick-near"
                      onClick=${toggleNear}>${allNear ? "Tick none" : "Tick all"}</button>`
                  }
                </th>
              </tr>`
            }
            <tr key=${key} class=${off.has(key) ? "gone" : ""} data-case=${item.id}>
              <td>
                <input
                  type="checkbox"
                  checked=${!off.has(key)}
                  aria-label=${`Take ${plain(item.title || item.id).slice(0, 100)}`}
                  onChange=${() => toggle(item)}
                />
              </td>
              <td>
                <${Inline} text=${item.title || item.id} />
                <div class="small soft">
                  <${Inline} text=${item.id} className="mono" />
                  ${
                    item.likeness !== undefined &&
                    html` · <span class="number">${percent(item.likeness)}</span> of the words the
                      same${item.source && html` · <${Inline} text=${item.source} />`}`
                  }
                </div>
                ${reason && html`<div class="small warn-text">${sentence(plain(reason))}</div>`}
              </td>
              <td><${Severity} value=${facetOf(item, "severity")} /></td>
              <td><${Inline} text=${item.tenant} /></td>
              <td>${label(item.queue)}</td>
              <td><strong>${Object.values(labelsOf(item)).map(label).join(", ")}</strong></td>
            </tr>`;
          })}
        </tbody>
      </table>
    </div>
    ${
      refused > 0 &&
      html`<p class="note">${plural(refused, "case", "cases")} will be refused, as said in the
        list. The others are taken.</p>`
    }
    ${failure && html`<p class="banner bad" role="alert">${failure}</p>`}
    <div class="dialog-foot">
      <span class="soft">You can undo this for some seconds.</span>
      <span class="grow"></span>
      <button type="button" class="button" onClick=${onClose}>Cancel</button>
      <button
        ref=${button}
        type="button"
        class="button primary"
        data-action="decide-all"
        disabled=${busy || taken.length === 0}
        onClick=${send}
      >
        ${busy ? "Sending …" : `Decide ${casesFound(taken.length)}`}
      </button>
    </div>
  `;
}

/** Which of the verdicts the server would refuse, by the key of their case. */
function useDryRun(verdicts) {
  const [refusals, setRefusals] = useState(() => new Map());
  const key = JSON.stringify(verdicts);
  useEffect(() => {
    if (verdicts.length === 0) return undefined;
    const controller = new AbortController();
    const note = (answer) =>
      setRefusals(new Map((answer?.refused ?? []).map((one) => [caseKey(one), one.reason])));
    post("verdicts", { verdicts, dry_run: true }, { signal: controller.signal }).then(
      note,
      (error) => error.answer && note(error.answer),
    );
    return () => controller.abort();
  }, [key]);
  return refusals;
}

async function sendAll(verdicts, cases) {
  const { list } = workList.get();
  const byKey = new Map(cases.map((item) => [caseKey(item), item]));
  const me = session.get()?.name;
  const { accepted, refused } = await sendVerdicts(verdicts, {
    text: (n) => `Decided ${casesFound(n)}`,
    onUndone: () => {
      for (const item of byKey.values()) list?.note(item, { held_by: null, gone: false });
    },
  });
  for (const one of accepted) list?.note(one, { held_by: me });
  if (refused.length > 0) {
    const first = sentence(plain(refused[0].reason));
    notify(`${casesFound(refused.length)} not taken. The first: ${first}`, {
      kind: "bad",
      stays: true,
    });
  }
}
