// One case: what is known about it on the left, deciding on the right.

import { html, useEffect, useMemo, useState } from "../html.js";
import { callCase, loadLabels, may, session } from "../api.js";
import { caseKey, lastSeen, openList, skipped, workList } from "../caselist.js";
import { sayLabels } from "../decide.js";
import { age, dateTime, label, statedWord, time, word } from "../format.js";
import { useKeys } from "../keys.js";
import { on, onRecovery } from "../live.js";
import { notify } from "../notices.js";
import { caseHref, go, hrefOf } from "../router.js";
import { useStore } from "../store.js";
import { Inline, OutsideLink, plain } from "../text.js";
import { announce, Failure, KeyButton, Loading, Severity, Tag, useNow } from "../ui.js";
import { initialChoice } from "./axes.js";
import { DecidePanel, drafts, valuesOf } from "./decision.js";
import { Evidence } from "./evidence.js";
import { Why } from "./why.js";

const CLAIM_EVERY_MS = 60_000;
const FRESH_MS = 20_000;

let ahead = null;
for (const kind of ["decision", "held"]) {
  on(kind, (one) => {
    if (ahead?.key === caseKey(one)) ahead = null;
  });
}

/** Load a case, from what was loaded ahead if that is fresh. */
function loadCase(item, signal) {
  const key = caseKey(item);
  if (ahead?.key === key && Date.now() - ahead.at < FRESH_MS) {
    const { promise } = ahead;
    ahead = null;
    return promise.catch(() => callCase("GET", item, "", { signal }));
  }
  return callCase("GET", item, "", { signal });
}

function loadAhead(item) {
  if (!item || ahead?.key === caseKey(item)) return;
  const promise = callCase("GET", item, "");
  promise.catch(() => {});
  ahead = { key: caseKey(item), at: Date.now(), promise };
}

export function CasePage({ parts }) {
  const [domain, tenant, id] = parts;
  const item = { domain, tenant, id };
  const key = caseKey(item);
  const [state, setState] = useState({ key: null });
  const [round, setRound] = useState(0);
  useEffect(() => {
    const controller = new AbortController();
    Promise.all([loadCase(item, controller.signal), loadLabels()]).then(
      ([data, labels]) => setState({ key, data, labels }),
      (error) => !controller.signal.aborted && setState({ key, error }),
    );
    return () => controller.abort();
  }, [key, round]);
  const reload = () => {
    ahead = null;
    setRound((n) => n + 1);
  };
  useEffect(() => onRecovery(reload), []);
  const shown = state.key === key && state.data ? state.data.triaged.revision : -1;
  useEffect(() => {
    // Also while the answer is on its way: it may not have what happens now.
    const ends = [
      on("decision", (one) => caseKey(one) === key && one.revision > shown && reload()),
      on("held", (one) => caseKey(one) === key && shown < 0 && reload()),
    ];
    return () => ends.forEach((end) => end());
  }, [key, shown]);
  const steps = useSteps(item);
  useKeys({ n: steps.next, p: steps.previous, q: steps.toQueue, Escape: steps.toQueue });

  if (state.key !== key) return html`<${Loading} what="Loading the case" />`;
  if (state.error) return html`<${Failure} error=${state.error} onRetry=${reload} />`;
  return html`<${CaseView}
    key=${`${key} ${state.data.triaged.revision}`}
    item=${item}
    data=${state.data}
    labels=${state.labels}
    steps=${steps}
    reload=${reload}
  />`;
}

/** Ways from this case to the others of the list that is worked through. */
function useSteps(item) {
  const key = caseKey(item);
  const { list } = useStore(workList);
  useEffect(() => {
    if (!workList.get().list) openList({ order: "urgency" });
  }, []);
  const at = list?.placeOf(key) ?? null;
  useEffect(() => {
    lastSeen.at = at ?? (lastSeen.key === key ? lastSeen.at : null);
    lastSeen.key = key;
  }, [key, at]);
  const near = at ?? 0;
  useEffect(() => {
    list?.want(near, near + 20);
  }, [list, near]);
  const toQueue = () => go(hrefOf("queue", [], queueAddress()));
  return {
    at,
    total: list?.total ?? null,
    nextItem: caseAfter(list, key),
    toQueue,
    next: async () => {
      const here = location.hash;
      await list?.settled();
      if (location.hash === here) goToNext(key, toQueue);
    },
    previous: () => {
      const before = at > 0 ? list.row(at - 1) : null;
      if (before) go(caseHref(before));
    },
  };
}

/** Go to the case after this one, in the list as it is now. */
function goToNext(key, toQueue) {
  const { list } = workList.get();
  const item = caseAfter(list, key);
  if (item) {
    if (list.placeOf(caseKey(item)) < list.placeOf(key))
      notify("That was the end of the list. This is the first case that still waits.");
    go(caseHref(item));
  } else {
    if (list && !list.error) notify("That was the last case that waits in this list.");
    toQueue();
  }
}

/** The next case that waits, from the start of the list if none is known behind this one. */
function caseAfter(list, key) {
  let place = list?.nextOpen(list.placeOf(key) ?? -1, skipped) ?? null;
  place ??= list?.nextOpen(-1, skipped) ?? null;
  while (place !== null && caseKey(list.row(place)) === key) place = list.nextOpen(place, skipped);
  return place === null ? null : list.row(place);
}

function queueAddress() {
  const { query } = workList.get();
  return { ...query, order: query.order === "urgency" ? undefined : query.order };
}

function CaseView({ item, data, labels, steps, reload }) {
  const { event, triaged, proposal } = data;
  const deciding = labels.deciding?.[item.domain] ?? [labels.queue_axis?.[item.domain] ?? "queue"];
  const axes = useMemo(() => orderedAxes(proposal, deciding), [data]);
  const decided = triaged.decided_by === "human" ? valuesOf(triaged.labels) : null;
  const [choice, setChoice] = useState(
    () => drafts.get(item) ?? initialChoice(proposal, decided ?? {}),
  );
  const [active, setActive] = useState(axes[0]);
  const claim = useClaim(item, data);
  const news = useNews(item, data);
  useEffect(() => {
    const title = plain(triaged.title ?? triaged.id).slice(0, 200);
    document.title = `${title.slice(0, 80)} – triage`;
    announce(title);
  }, [data]);
  useEffect(() => loadAhead(steps.nextItem), [steps.nextItem && caseKey(steps.nextItem)]);
  const choose = (axis, value) => {
    const next = { ...choice, [axis]: { value, touched: true } };
    setChoice(next);
    if (!decided) drafts.keep(item, next);
    setActive(axis);
    announce(`${label(axis)}: ${label(value)}`);
  };
  return html`<article class="case">
    <${CaseHead} item=${item} data=${data} steps=${steps} />
    <${Banners} item=${item} data=${data} claim=${claim} news=${news} steps=${steps} />
    <div class="case-grid">
      <div class="reading">
        <${Evidence} item=${item} data=${data} active=${active} />
      </div>
      <aside class="deciding" aria-label="Decide">
        <${DecidePanel}
          item=${item}
          data=${data}
          labels=${labels[item.domain] ?? {}}
          deciding=${deciding}
          axes=${axes}
          choice=${choice}
          active=${active}
          onChoose=${choose}
          onActive=${setActive}
          steps=${steps}
          news=${news}
          reload=${reload}
        />
        <${Why} data=${data} deciding=${deciding} active=${active} event=${event} />
      </aside>
    </div>
  </article>`;
}

/** The deciding axes first, then the others in the order of the proposal. */
const orderedAxes = (proposal, deciding) => [
  ...deciding.filter((axis) => Object.hasOwn(proposal, axis)),
  ...Object.keys(proposal).filter((axis) => !deciding.includes(axis)),
];

function CaseHead({ item, data, steps }) {
  const now = useNow();
  const { triaged, event } = data;
  const severity = data.case?.severity ?? data.case?.priority ?? triaged.labels.severity?.value;
  const stated = statedWord(triaged.stated ?? event?.stated);
  return html`<header class="case-head">
    <div class="line steps">
      <${KeyButton} keyName="Q" kind="quiet" onClick=${steps.toQueue}>Back to the queue<//>
      <span class="grow"></span>
      ${
        steps.at !== null &&
        html`<span class="soft number small">${steps.at + 1} of ${steps.total}<span class="wide-only"> in the list</span></span>`
      }
      <${KeyButton} keyName="P" kind="quiet" onClick=${steps.previous}
        disabled=${!steps.at}>Previous<//>
      <${KeyButton} keyName="N" kind="quiet" onClick=${steps.next}>Next<//>
    </div>
    <h1 tabindex="-1"><${Inline} text=${triaged.title || event?.title || item.id} /></h1>
    <div class="facts">
      <${Severity} value=${severity} />
      ${stated && html`<span class="stated">stated ${label(stated)}</span>`}
      ${data.case?.disagreement && html`<${Tag} kind="warn">people disagree<//>`}
      <span>${word(item.domain)}</span>
      ${triaged.source && html`<${Inline} text=${triaged.source} />`}
      <span>tenant <${Inline} text=${item.tenant} /></span>
      <span>id <${Inline} text=${item.id} className="mono" /></span>
      <span title=${dateTime(triaged.timing.received_at)}>
        came ${age(triaged.timing.received_at, now)} ago, at ${time(triaged.timing.received_at)}
      </span>
      <${OutsideLink} href=${data.link?.href ?? triaged.link} />
    </div>
  </header>`;
}

/** While this page is open, others see who looks at the case. */
function useClaim(item, data) {
  const [holder, setHolder] = useState(data.claimed_by ?? null);
  const me = session.get()?.name;
  useEffect(() => {
    if (!may("reviewer")) return undefined;
    const take = () =>
      callCase("POST", item, "claim", { body: {} }).then(
        (answer) => setHolder(answer.by),
        (error) => error.status === 409 && setHolder(error.answer.by),
      );
    take();
    const timer = setInterval(() => !document.hidden && take(), CLAIM_EVERY_MS);
    const end = on("claim", (claim) => caseKey(claim) === caseKey(item) && setHolder(claim.by));
    const leave = () => callCase("DELETE", item, "claim", { keepalive: true }).catch(() => {});
    addEventListener("pagehide", leave);
    return () => {
      clearInterval(timer);
      end();
      removeEventListener("pagehide", leave);
      leave();
    };
  }, []);
  return holder && holder !== me ? holder : null;
}

/** What others do to this case while it is open. */
function useNews(item, data) {
  const [held, setHeld] = useState(data.held_by ?? null);
  const key = caseKey(item);
  useEffect(() => on("held", (one) => caseKey(one) === key && setHeld(one.by)), []);
  const me = session.get()?.name;
  return {
    heldBy: held && held !== me ? held : null,
    heldByMe: held === me,
    decided: data.triaged.decided_by === "human" ? data.triaged : null,
  };
}

/** What the person has decided, without the labels of the model beside it. */
const labelsDecided = ({ revisions, triaged }) =>
  revisions.find((one) => one.revision === triaged.revision).labels;

function Banners({ item, data, claim, news }) {
  const decided = news.decided;
  return html`<div class="banners" aria-live="polite">
    ${
      claim &&
      !decided &&
      html`<p class="banner">
      <strong><${Inline} text=${claim} /></strong> is looking at this case too. You can still
        decide;
      the first decision stands.
    </p>`
    }
    ${
      news.heldBy &&
      html`<p class="banner warn">
      <strong><${Inline} text=${news.heldBy} /></strong> has just decided this case, and may still
        undo it.
    </p>`
    }
    ${
      decided &&
      html`<p class="banner good">
      A person has decided this case at ${time(decided.timing.triaged_at)}:
      <strong> ${sayLabels(labelsDecided(data))}</strong>.
    </p>`
    }
  </div>`;
}
