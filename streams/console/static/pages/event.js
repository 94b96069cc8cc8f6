// One event by its id: what is known and what was decided, without deciding.

import { html, useEffect } from "../html.js";
import { may } from "../api.js";
import { dateTime, label, statedWord, word } from "../format.js";
import { useKeys } from "../keys.js";
import { on, onRecovery } from "../live.js";
import { go, hrefOf, route, streamPlace } from "../router.js";
import { useStore } from "../store.js";
import { Inline, OutsideLink, plain } from "../text.js";
import { announce, Confidence, Empty, Failure, KeyButton, Loading, Severity, Tag, useAsked } from "../ui.js";
import { Evidence } from "./evidence.js";

export function EventPage({ parts: [id] }) {
  const { domain, tenant } = useStore(route).query;
  const path = `events/${encodeURIComponent(id ?? "")}`;
  const asked = useAsked(path, { query: { domain, tenant }, enabled: Boolean(id) });
  useEffect(() => onRecovery(asked.reload), []);
  useEffect(() => on("decision", (one) => one.id === id && asked.reload()), [id]);
  useEffect(() => {
    announce(`Event ${plain(id).slice(0, 200)}`);
    document.title = `${plain(id).slice(0, 80)} – triage`;
  }, [id]);
  const toStream = () => go(hrefOf("stream", [], streamPlace.query));
  useKeys({ q: toStream, Escape: toStream });
  if (asked.error?.status === 404) {
    return html`<${Empty} title="No such event">
      No event with the id <bdi class="mono">${plain(id).slice(0, 200)}</bdi> is known here, or it
      belongs to a tenant that you may not see. <a href="#/stream">Back to the stream</a>
    <//>`;
  }
  if (asked.error) return html`<${Failure} error=${asked.error} onRetry=${asked.reload} />`;
  if (!asked.data) return html`<${Loading} what="Loading the event" />`;
  const { events } = asked.data;
  return html`
    <${KeyButton} keyName="Q" kind="quiet" onClick=${toStream}>Back to the stream<//>
    ${
      events.length > 1 &&
      html`<p class="banner">${events.length} events have this id, in different domains or
        tenants.</p>`
    }
    ${events.map((one) => html`<${OneEvent} key=${`${one.triaged.domain} ${one.triaged.tenant}`} data=${one} />`)}
  `;
}

function OneEvent({ data }) {
  const { triaged, event } = data;
  const byPerson = triaged.decided_by === "human";
  const decided = data.revisions.find((one) => one.revision === triaged.revision)?.labels ?? {};
  const stated = statedWord(triaged.stated ?? event?.stated);
  const waits = triaged.status === "needs_review" && !byPerson;
  return html`<article class="case">
    <header class="case-head">
      <h1 tabindex="-1"><${Inline} text=${triaged.title || event?.title || triaged.id} /></h1>
      <div class="facts">
        <${Severity} value=${triaged.labels.severity?.value ?? triaged.labels.priority?.value} />
        ${stated && html`<span class="stated">stated ${label(stated)}</span>`}
        <span>${word(triaged.domain)}</span>
        ${triaged.source && html`<${Inline} text=${triaged.source} />`}
        <span>tenant <${Inline} text=${triaged.tenant} /></span>
        <span>id <${Inline} text=${triaged.id} className="mono" /></span>
        <span>came ${dateTime(triaged.timing.received_at)}</span>
        <${OutsideLink} href=${data.link?.href ?? triaged.link} />
      </div>
    </header>
    <div class="case-grid">
      <div class="reading"><${Evidence} data=${data} active="queue" /></div>
      <aside class="deciding" aria-label="Decision">
        <section class="panel">
          <h2>${waits ? "Proposal" : "Decision"}</h2>
          <p class="line">
            <span>${word(triaged.decided_by)}, revision ${triaged.revision}</span>
            <${Tag} kind=${triaged.status === "final" ? "good" : "warn"}>${word(triaged.status)}<//>
            ${data.case.disagreement && html`<${Tag} kind="warn">people disagree<//>`}
          </p>
          <dl class="facts-table short">
            ${Object.entries(triaged.labels).map(
              ([axis, one]) => html`<div key=${axis}>
                <dt>${label(axis)}</dt>
                <dd><${Standing} label=${one} byPerson=${byPerson} decided=${Object.hasOwn(decided, axis)} /></dd>
              </div>`,
            )}
          </dl>
          <p>
            <a href=${hrefOf("case", [triaged.domain, triaged.tenant, triaged.id])}
              >${waits || !may("reviewer") ? "Open it as a case" : "Open it as a case, to correct it"}</a>
          </p>
        </section>
      </aside>
    </div>
  </article>`;
}

/** One label: a person's, the model's with its confidence, or what a person has left as it was. */
function Standing({ label: one, byPerson, decided }) {
  if (!byPerson)
    return html`<strong>${label(one.value)}</strong> <${Confidence} value=${one.confidence} />`;
  return decided
    ? html`<strong>${label(one.value)}</strong> <span class="soft small">by a person</span>`
    : html`<span>${label(one.value)}</span> <span class="soft small">only proposed</span>`;
}
