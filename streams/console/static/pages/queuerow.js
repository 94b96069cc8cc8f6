// One case in the queue.

import { html, memo } from "../html.js";
import { may, session } from "../api.js";
import { caseKey, skipped } from "../caselist.js";
import { age, dateTime, facetOf, label, statedWord, word } from "../format.js";
import { caseHref } from "../router.js";
import { Inline, plain } from "../text.js";
import { Confidence, Severity, Tag } from "../ui.js";

export const Row = memo(({ item, place: at, now, current, chosen, onChoose, onOpen }) => {
  if (!item) {
    return html`<div class="case-row unknown" aria-hidden="true"><span></span><span
      class="bone"></span><span class="bone wide"></span></div>`;
  }
  const severity = facetOf(item, "severity");
  const classes = ["case-row"];
  if (item.gone || item.held_by) classes.push("gone");
  if (current) classes.push("current");
  if (chosen) classes.push("chosen");
  const stated = statedWord(item.stated);
  const title = plain(item.title || item.id).slice(0, 200);
  return html`<div class=${classes.join(" ")}>
    <span class="row-choose">
      ${
        may("reviewer") &&
        html`<input
        type="checkbox"
        checked=${chosen}
        disabled=${Boolean(item.gone)}
        aria-label=${`Choose ${title}`}
        onChange=${() => onChoose(item)}
      />`
      }
    </span>
    <span class="row-severity">
      <${Severity} value=${severity} />
      ${isUrgent(stated) && html`<span class="stated strong narrow-only">stated ${label(stated)}</span>`}
    </span>
    <span class="row-title">
      <a href=${caseHref(item)} data-place=${at} onClick=${() => onOpen(at)}>
        <${Inline} text=${item.title || item.id} />
      </a>
      <span class="row-meta"><${RowMeta} item=${item} /></span>
    </span>
    <span class="row-proposal">
      <span>${label(item.queue)}</span>
      <span class="row-risk"><span class="risk-word">risk </span><${Risk} item=${item} /></span>
    </span>
    <span class="row-reason"><${Tag}>${word(item.escalation)}<//></span>
    <span class="row-age number"
      title=${dateTime(item.received_at)}>${age(item.received_at, now)}</span>
  </div>`;
});

/** An event unlike all that the model has learned from has no estimate; 100 % would look like one. */
const Risk = ({ item }) =>
  item.escalation === "unfamiliar"
    ? html`<span>not known</span>`
    : html`<${Confidence} value=${item.risk} kind="risk" />`;

const isUrgent = (stated) => stated === "critical" || stated === "urgent";

function RowMeta({ item }) {
  const stated = statedWord(item.stated);
  const me = session.get()?.name;
  if (item.gone) return html`<strong>Decided: ${label(item.queue)}</strong>`;
  if (item.held_by) {
    return html`<strong>${item.held_by === me ? "You have" : html`<${Inline} text=${item.held_by} /> has`} just decided</strong>`;
  }
  return html`
    ${
      item.claimed_by &&
      item.claimed_by !== me &&
      html`<span class="claimed"><${Inline} text=${item.claimed_by} /> is looking at it</span>`
    }
    ${skipped.has(caseKey(item)) && html`<span>skipped</span>`}
    ${stated && html`<span class=${isUrgent(stated) ? "stated strong" : "stated"}>stated ${label(stated)}</span>`}
    ${item.source && html`<${Inline} text=${item.source} />`}
    <${Inline} text=${item.tenant} /><${Inline} text=${item.id} className="mono" />
  `;
}
