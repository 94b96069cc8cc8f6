// One case: what is known about it on the left, deciding on the right.

import { html, useEffect, useMemo, useRef, useState } from "../html.js";
import { callCase, loadLabels, may, session } from "../api.js";
import { caseKey, openList, skipped, workList } from "../caselist.js";
import { sayLabels, sendVerdicts } from "../decide.js";
import { age, dateTime, label, plural, sentence, statedWord, time, word } from "../format.js";
import { useKeys } from "../keys.js";
import { connection, on, onRecovery } from "../live.js";
import { notify } from "../notices.js";
import { caseHref, go, hrefOf } from "../router.js";
import { useStore } from "../store.js";
import { Inline, OutsideLink, plain } from "../text.js";
import { announce, Failure, KeyButton, Loading, Severity, Tag, useNow } from "../ui.js";
import { AlikeDialog } from "./bulk.js";
import { Axes, initialChoice, labelsToSend } from "./axes.js";
import { Evidence } from "./evidence.js";
import { LabelSearch } from "./labelsearch.js";
import { Why } from "./why.js";

const CLAIM_EVERY_MS = 60_000;
const FRESH_MS = 20_000;
const MOST_DRAFTS = 100;

let ahead = null;

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

/** What people have chosen and not sent: it is still there when they come back to a case. */
const drafts = {
  kept: new Map(),
  get: (item) => drafts.kept.get(caseKey(item)),
  keep(item, choice) {
    drafts.kept.set(caseKey(item), choice);
    if (drafts.kept.size > MOST_DRAFTS) drafts.kept.delete(drafts.kept.keys().next().value);
  },
  drop: (item) => drafts.kept.delete(caseKey(item)),
};

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
  const nextPlace = list ? list.nextOpen(at ?? -1, skipped) : null;
  const near = at ?? 0;
  useEffect(() => {
    list?.want(near, near + 20);
  }, [list, near]);
  const nextItem = nextPlace === null ? null : list.row(nextPlace);
  const other = nextItem && caseKey(nextItem) !== key ? nextItem : firstOther(list, key);
  const toQueue = () => go(hrefOf("queue", [], queueAddress()));
  return {
    at,
    total: list?.total ?? null,
    nextItem: other,
    toQueue,
    next: () => {
      if (other) go(caseHref(other));
      else {
        announce("That was the last case.");
        toQueue();
      }
    },
    previous: () => {
      const before = at > 0 ? list.row(at - 1) : null;
      if (before) go(caseHref(before));
    },
  };
}

/** At the end of the list: the first case that still waits, if there is one. */
function firstOther(list, key) {
  let place = list ? list.nextOpen(-1, skipped) : null;
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
  const [choice, setChoice] = useState(() => drafts.get(item) ?? initialChoice(proposal, decided ?? {}));
  const [active, setActive] = useState(axes[0]);
  const claim = useClaim(item, data);
  const news = useNews(item, data, reload);
  useEffect(() => {
    document.title = `${plain(triaged.title ?? triaged.id).slice(0, 80)} – triage`;
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
      ${steps.at !== null &&
      html`<span class="soft number small">${steps.at + 1} of ${steps.total}</span>`}
      <${KeyButton} keyName="P" kind="quiet" onClick=${steps.previous} disabled=${!steps.at}>Previous<//>
      <${KeyButton} keyName="N" kind="quiet" onClick=${steps.next}>Next<//>
    </div>
    <h1 tabindex="-1"><${Inline} text=${triaged.title || event?.title || item.id} /></h1>
    <div class="facts">
      <${Severity} value=${severity} />
      ${stated && html`<span class="stated">stated ${label(stated)}</span>`}
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
function useNews(item, data, reload) {
  const [held, setHeld] = useState(data.held_by ?? null);
  const key = caseKey(item);
  useEffect(() => {
    const ends = [
      on("held", (one) => caseKey(one) === key && setHeld(one.by)),
      on("decision", (one) => {
        if (caseKey(one) === key && one.revision > data.triaged.revision) reload();
      }),
    ];
    return () => ends.forEach((end) => end());
  }, []);
  const me = session.get()?.name;
  return {
    heldBy: held && held !== me ? held : null,
    heldByMe: held === me,
    decided: data.triaged.decided_by === "human" ? data.triaged : null,
  };
}

function Banners({ item, data, claim, news }) {
  const decided = news.decided;
  return html`<div class="banners" aria-live="polite">
    ${claim &&
    !decided &&
    html`<p class="banner">
      <strong><${Inline} text=${claim} /></strong> is looking at this case too. You can still decide;
      the first decision stands.
    </p>`}
    ${news.heldBy &&
    html`<p class="banner warn">
      <strong><${Inline} text=${news.heldBy} /></strong> has just decided this case, and may still undo it.
    </p>`}
    ${decided &&
    html`<p class="banner good">
      A person has decided this case at ${time(decided.timing.triaged_at)}:
      <strong> ${sayLabels(valuesOf(decided.labels))}</strong>.
    </p>`}
  </div>`;
}

const valuesOf = (labels) =>
  Object.fromEntries(Object.entries(labels).map(([axis, one]) => [axis, one.value ?? one]));

function DecidePanel(props) {
  const { item, data, labels, deciding, axes, choice, active, onChoose, onActive, steps, news } = props;
  const [comment, setComment] = useState("");
  const [dialog, setDialog] = useState(null);
  const [busy, setBusy] = useState(false);
  const [conflict, setConflict] = useState(null);
  const [failure, setFailure] = useState("");
  const field = useRef(null);
  const { broker } = useStore(connection);
  const [correcting, setCorrecting] = useState(false);
  const decided = news.decided ? valuesOf(news.decided.labels) : null;
  const allowed = may("reviewer");
  // Who presses a key a moment after somebody else has decided must not overrule them by that.
  const open = allowed && (!decided || correcting);
  const changed = axes.some(
    (axis) => choice[axis].value !== (decided?.[axis] ?? data.proposal[axis].value),
  );
  const sendable = open && !busy && !news.heldByMe && (!decided || changed);

  const decide = async () => {
    if (!sendable) return;
    setBusy(true);
    setFailure("");
    try {
      await decideOne({ ...props, comment, correcting, onConflict: setConflict });
    } catch (error) {
      setFailure(error.message);
    } finally {
      setBusy(false);
    }
  };
  const skip = () => {
    skipped.add(caseKey(item));
    announce("Skipped");
    steps.next();
  };
  const nextAxis = () => onActive(axes[(axes.indexOf(active) + 1) % axes.length]);
  const others = data.proposal[active]?.alternatives ?? [];
  const digits = Object.fromEntries(
    others.slice(0, 9).map((one, at) => [String(at + 1), () => onChoose(active, one.value)]),
  );
  useKeys(
    {
      ...digits,
      0: () => onChoose(active, data.proposal[active].value),
      a: decide,
      s: skip,
      x: nextAxis,
      c: () => field.current?.focus(),
      l: () => setDialog("labels"),
      b: () => data.alike > 0 && !correcting && setDialog("alike"),
    },
    { active: open },
  );
  useKeys({ e: () => setCorrecting(true) }, { active: allowed && !open });

  if (!open) {
    return html`<section class="panel">
      <h2>${decided ? "Decided" : "Proposal"}</h2>
      <${Axes} ...${props} readOnly=${true} />
      ${allowed
        ? html`<div class="actions">
            <${KeyButton} keyName="N" kind="primary" onClick=${steps.next}>Next case<//>
            <${KeyButton} keyName="E" kind="broad" onClick=${() => setCorrecting(true)}>Correct it<//>
          </div>`
        : html`<p class="note">You may look, and not decide: your role is viewer.</p>`}
    </section>`;
  }
  return html`<section class="panel decide">
    <h2>${correcting ? "Correct the decision" : "Decide"}</h2>
    ${conflict && html`<${Conflict} conflict=${conflict} steps=${steps} onLook=${props.reload} />`}
    <${Axes} ...${props} onNextAxis=${nextAxis} />
    <div class="actions">
      <${KeyButton} keyName="A" kind="primary" onClick=${decide} disabled=${!sendable}>
        ${decideWords({ correcting, changed, busy })}
      <//>
      <${KeyButton} keyName="S" onClick=${skip}>Skip<//>
      <${KeyButton} keyName="L" onClick=${() => setDialog("labels")}>Search a label<//>
      ${data.alike > 0 &&
      !correcting &&
      html`<${KeyButton} keyName="B" kind="broad" onClick=${() => setDialog("alike")}>
        Decide with ${plural(data.alike, "case", "cases")} alike
      <//>`}
    </div>
    ${failure && html`<p class="banner bad" role="alert">${failure}</p>`}
    ${broker === "away" &&
    html`<p class="note">Kafka is away. Decisions wait on the server until it is back.</p>`}
    <label class="comment">
      <span>Comment <span class="soft">(for the record)</span> <kbd aria-hidden="true">C</kbd></span>
      <textarea
        ref=${field}
        rows="2"
        maxlength="10000"
        value=${comment}
        onInput=${(event) => setComment(event.target.value)}
        onKeyDown=${(event) => {
          if (event.key === "Escape") event.target.blur();
          if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) decide();
        }}
      ></textarea>
    </label>
    ${dialog === "labels" &&
    html`<${LabelSearch}
      labels=${labels}
      axes=${axes}
      onChoose=${onChoose}
      onClose=${() => setDialog(null)}
    />`}
    ${dialog === "alike" &&
    html`<${AlikeDialog}
      item=${item}
      data=${data}
      values=${labelsToSend(data.proposal, choice, deciding)}
      comment=${comment}
      onClose=${() => setDialog(null)}
      onDone=${steps.next}
    />`}
  </section>`;
}

function decideWords({ correcting, changed, busy }) {
  if (busy) return "Sending …";
  if (correcting) return "Correct";
  return changed ? "Decide with changes" : "Accept proposal";
}

async function decideOne({ item, data, deciding, choice, steps, comment, correcting, onConflict }) {
  const values = labelsToSend(data.proposal, choice, deciding);
  const verdict = { id: item.id, domain: item.domain, tenant: item.tenant, labels: values };
  if (comment.trim()) verdict.comment = comment.trim();
  if (correcting) verdict.about = data.triaged.revision;
  const { accepted, refused, conflict } = await sendVerdicts([verdict], {
    text: () => `Decided: ${sayLabels(values)}`,
    onUndone: () => {
      workList.get().list?.note(item, { gone: false, held_by: null });
      go(caseHref(item));
    },
  });
  if (accepted.length > 0) {
    drafts.drop(item);
    workList.get().list?.note(item, { held_by: session.get()?.name });
    steps.next();
  } else if (conflict) onConflict(conflict);
  else notify(sentence(plain(refused[0]?.reason ?? "The decision was refused.")), { kind: "bad", stays: true });
}

function Conflict({ conflict, steps, onLook }) {
  return html`<div class="banner warn" role="alert">
    <p>
      <strong><${Inline} text=${conflict.by} /></strong> was a little faster and decided this case
      ${conflict.at ? ` at ${time(conflict.at)}` : ""}. The first decision stands, so yours was not
      sent. Nothing else was changed.
    </p>
    ${!conflict.reason.startsWith(conflict.by) &&
    html`<p class="soft">${sentence(plain(conflict.reason))}</p>`}
    <div class="line">
      <${KeyButton} keyName="N" kind="small" onClick=${steps.next}>Next case<//>
      <button type="button" class="button small" onClick=${onLook}>See the decision</button>
    </div>
  </div>`;
}
