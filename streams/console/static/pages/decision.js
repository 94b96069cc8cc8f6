// Deciding about the case that is open: the labels, the buttons with their keys, the comment.

import { html, useRef, useState } from "../html.js";
import { may, session } from "../api.js";
import { caseKey, skipped, workList } from "../caselist.js";
import { sayLabels, sendVerdicts } from "../decide.js";
import { plural, sentence, time } from "../format.js";
import { useKeys } from "../keys.js";
import { connection } from "../live.js";
import { notify } from "../notices.js";
import { caseHref, go } from "../router.js";
import { useStore } from "../store.js";
import { Inline, plain } from "../text.js";
import { announce, KeyButton } from "../ui.js";
import { Axes, labelsToSend } from "./axes.js";
import { AlikeDialog } from "./bulk.js";
import { LabelSearch } from "./labelsearch.js";

const MOST_DRAFTS = 100;
const MOST_TITLE = 60;

/** What people have chosen and not sent: it is still there when they come back to a case. */
export const drafts = {
  kept: new Map(),
  get: (item) => drafts.kept.get(caseKey(item)),
  keep(item, choice) {
    drafts.kept.set(caseKey(item), choice);
    if (drafts.kept.size > MOST_DRAFTS) drafts.kept.delete(drafts.kept.keys().next().value);
  },
  drop: (item) => drafts.kept.delete(caseKey(item)),
};

/** {axis: value} of labels with or without their confidences. */
export const valuesOf = (labels) =>
  Object.fromEntries(Object.entries(labels).map(([axis, one]) => [axis, one.value ?? one]));

const alikeWords = ({ alike, near }) =>
  alike > 0
    ? `Decide with ${plural(alike, "more case", "more cases")} alike`
    : `See ${plural(near, "case", "cases")} nearly alike`;

export function DecidePanel(props) {
  const { item, data, labels, deciding, axes, choice, active, onChoose, onActive, steps, news } =
    props;
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
  // The second click of a double click would decide the next case, which is there already.
  const decideOnce = (event) => event.detail < 2 && decide();
  const skip = () => {
    skipped.add(caseKey(item));
    notify("Skipped. The case stays open in the queue.");
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
      b: () => data.alike + data.near > 0 && !correcting && setDialog("alike"),
    },
    { active: open },
  );
  useKeys({ e: () => setCorrecting(true) }, { active: allowed && !open });

  if (!open) {
    return html`<section class="panel">
      <h2>${decided ? "Decided" : "Proposal"}</h2>
      <${Axes} ...${props} readOnly=${true} />
      ${
        allowed
          ? html`<div class="actions">
            <${KeyButton} keyName="N" kind="primary" onClick=${steps.next}>Next case<//>
            <${KeyButton} keyName="E" kind="broad" onClick=${() => setCorrecting(true)}>Correct
              it<//>
          </div>`
          : html`<p class="note">You may look, and not decide: your role is viewer.</p>`
      }
    </section>`;
  }
  return html`<section class="panel decide">
    <h2>${correcting ? "Correct the decision" : "Decide"}</h2>
    ${conflict && html`<${Conflict} conflict=${conflict} steps=${steps} onLook=${props.reload} />`}
    <${Axes} ...${props} onNextAxis=${nextAxis} />
    <div class="actions">
      <${KeyButton} keyName="A" kind="primary" onClick=${decideOnce} disabled=${!sendable}>
        ${decideWords({ correcting, changed, busy })}
      <//>
      <${KeyButton} keyName="S" onClick=${skip}>Skip<//>
      <${KeyButton} keyName="L" onClick=${() => setDialog("labels")}>All labels<//>
      ${
        data.alike + data.near > 0 &&
        !correcting &&
        html`<${KeyButton} keyName="B" kind="broad" onClick=${() => setDialog("alike")}>
        ${alikeWords(data)}
      <//>`
      }
    </div>
    ${failure && html`<p class="banner bad" role="alert">${failure}</p>`}
    ${
      broker === "away" &&
      html`<p class="note">Kafka is away. Decisions wait on the server until it is back.</p>`
    }
    <label class="comment">
      <span>Comment <span class="soft">(for the record)</span> <kbd
        aria-hidden="true">C</kbd></span>
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
    ${
      dialog === "labels" &&
      html`<${LabelSearch}
      labels=${labels}
      axes=${[active, ...axes.filter((axis) => axis !== active)]}
      onChoose=${onChoose}
      onClose=${() => setDialog(null)}
    />`
    }
    ${
      dialog === "alike" &&
      html`<${AlikeDialog}
      item=${item}
      data=${data}
      values=${labelsToSend(data.proposal, choice, deciding)}
      comment=${comment}
      onClose=${() => setDialog(null)}
      onDone=${steps.next}
    />`
    }
  </section>`;
}

function decideWords({ correcting, changed, busy }) {
  if (busy) return "Sending …";
  if (correcting) return "Correct";
  return changed ? "Decide with changes" : "Accept proposal";
}

const titleOf = ({ triaged }) => {
  const title = plain(triaged.title || triaged.id);
  return title.length > MOST_TITLE ? `${title.slice(0, MOST_TITLE)}…` : title;
};

async function decideOne({ item, data, deciding, choice, steps, comment, correcting, onConflict }) {
  const values = labelsToSend(data.proposal, choice, deciding);
  const verdict = { id: item.id, domain: item.domain, tenant: item.tenant, labels: values };
  if (comment.trim()) verdict.comment = comment.trim();
  if (correcting) verdict.about = data.triaged.revision;
  const { accepted, refused, conflict } = await sendVerdicts([verdict], {
    text: () => `Decided: ${sayLabels(values)} – ${titleOf(data)}`,
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
  else
    notify(sentence(plain(refused[0]?.reason ?? "The decision was refused.")), {
      kind: "bad",
      stays: true,
    });
}

function Conflict({ conflict, steps, onLook }) {
  return html`<div class="banner warn" role="alert">
    <p>
      <strong><${Inline} text=${conflict.by} /></strong> was a little faster and decided this case
      ${conflict.at ? ` at ${time(conflict.at)}` : ""}. The first decision stands, so yours was not
      sent. Nothing else was changed.
    </p>
    ${
      !conflict.reason.startsWith(conflict.by) &&
      html`<p class="soft">${sentence(plain(conflict.reason))}</p>`
    }
    <div class="line">
      <${KeyButton} keyName="N" kind="small" onClick=${steps.next}>Next case<//>
      <button type="button" class="button small" onClick=${onLook}>See the decision</button>
    </div>
  </div>`;
}
