// What is known about a case: its words, its document, what is like it, what was decided so far.

import { html } from "../html.js";
import { dateTime, label, money, percent, plural, seconds, sentence, word } from "../format.js";
import { DocumentView, FoldedDocument } from "../document.js";
import { hrefOf } from "../router.js";
import { Inline, Passage, plain } from "../text.js";

export function Evidence({ data, active }) {
  const { event } = data;
  const words = wordsFor(data.why, active);
  return html`
    ${
      event
        ? html`<${Words} event=${event} words=${words} axis=${active} />`
        : html`<p class="panel soft">
      The text of this event is not kept here.
    </p>`
    }
    <${Summary} data=${data} />
    ${
      event?.event &&
      html`<${FoldedDocument}
      document=${event.event}
      alone=${!hasWords(event)}
    />`
    }
    ${
      Object.keys(event?.attributes ?? {}).length > 0 &&
      html`<details class="panel fold">
      <summary><h2>Other fields</h2></summary>
      <${DocumentView} document=${event.attributes} name="the other fields" />
    </details>`
    }
    <${Neighbours} data=${data} />
    <${History} data=${data} />
    <${Model} data=${data} />
  `;
}

const SHORT_CHARS = 280;

/** Few words: then the document is the evidence, and stands open. */
const hasWords = (event) => (event.text ?? "").length + (event.body ?? "").length > SHORT_CHARS;

const MOST_WORDS = 8;
const LEAST_PART = 0.25;

/** The words that weighed for the proposal, without those that weighed little beside the first. */
function wordsFor(why, axis) {
  const items = (why?.words ?? [])
    .filter((block) => block.axis === axis)
    .flatMap((one) => one.items);
  const largest = Math.max(0, ...items.map((one) => one.weight));
  return items
    .filter((one) => one.weight > 0 && one.weight >= LEAST_PART * largest)
    .map((one) => one.text)
    .slice(0, MOST_WORDS);
}

function Words({ event, words, axis }) {
  const texts = [event.text, event.body].filter(Boolean);
  if (texts.length === 0) return null;
  return html`<section class="panel words">
    <h2>Text</h2>
    ${texts.map((text, at) => html`<${Passage} key=${at} text=${text} name="text" words=${words} />`)}
    ${words.length > 0 && html`<p class="soft small">Marked: words that weighed for the proposed ${label(axis)}.</p>`}
    ${
      event.cut_off &&
      html`<details class="fold small">
      <summary>Quoted replies and signatures, which the model does not read</summary>
      <${Passage} text=${event.cut_off} name="cut off" />
    </details>`
    }
  </section>`;
}

function Summary({ data }) {
  const note = data.triaged.enrichment;
  const summary = data.summary ?? note?.summary;
  const rationale = data.rationale ?? note?.rationale;
  if (!summary && !rationale) return null;
  return html`<section class="panel words">
    <h2>Summary by the LLM</h2>
    <p class="note">A model wrote this after reading the event. Check it against the text.</p>
    ${summary && html`<${Passage} text=${summary} name="summary" />`}
    ${rationale && html`<h3>Its reasons</h3><${Passage} text=${rationale} name="rationale" />`}
  </section>`;
}

function Neighbours({ data }) {
  const near = data.neighbours ?? [];
  return html`<section class="panel">
    <h2>Settled cases like this one</h2>
    ${
      near.length === 0
        ? html`<p class="soft">${sentence(plain(data.neighbours_note ?? "None is known yet."))}</p>`
        : html`<ul class="neighbours">
          ${near.map(
            (one) => html`<li key=${one.id}>
              <a href=${hrefOf("event", [one.id], { domain: one.domain, tenant: one.tenant })}><${Inline} text=${one.title || one.id} /></a>
              <span class="facts small">
                <strong>${Object.values(one.labels).map(label).join(", ")}</strong>
                <span>${word(one.decided_by)}</span>
                <span class="soft">alike <span
                  class="number">${percent(one.similarity)}</span></span>
              </span>
            </li>`,
          )}
        </ul>`
    }
  </section>`;
}

/** An answer that is not final is not said to be decided. */
const DID = { final: "decided", provisional: "proposed", needs_review: "proposed" };

/** A revision repeats the reasons of the one before it. */
function newReasons({ reasons = [] }, before) {
  const old = before?.reasons ?? [];
  return old.every((reason, at) => reasons[at] === reason) ? reasons.slice(old.length) : reasons;
}

export function History({ data }) {
  return html`<section class="panel">
    <h2>History</h2>
    <ol class="history">
      ${(data.revisions ?? []).map(
        (one, at, all) => html`<li key=${one.revision}>
          <span class="number soft">${one.revision}</span>
          <div>
            <p>
              <strong>${word(one.decided_by)}</strong> ${DID[one.status]} <strong>${label(one.queue)}</strong>
              <span class="soft"> · ${word(one.status)} · ${dateTime(one.triaged_at)}</span>
            </p>
            <p class="soft small">
              ${Object.entries(one.labels ?? {})
                .map(([axis, value]) => `${label(axis)} ${label(value?.value ?? value)}`)
                .join(" · ")}
            </p>
            ${newReasons(one, all[at - 1]).map((reason) => html`<p class="small"><${Inline} text=${reason} /></p>`)}
          </div>
        </li>`,
      )}
    </ol>
  </section>`;
}

function Model({ data }) {
  const { model, calibration, triaged } = data;
  const facts = [
    [
      "Model",
      html`${plain(model.name)} <span class="mono soft">${plain(model.digest).slice(0, 12)}</span>`,
    ],
    ["Arithmetic", plain(model.compute_type)],
    [
      "Promise",
      `with probability ${percent(1 - calibration.delta)}, at most ${percent(calibration.alpha)} of what it accepts is wrong`,
    ],
    ["Tested on", plural(calibration.n, "row", "rows")],
    ["Threshold", percent(calibration.threshold)],
    ["Calibration", html`<span class="mono soft">${plain(calibration.digest).slice(0, 12)}</span>`],
    ["Inference", seconds(triaged.timing.inference_s)],
    ["From arrival to this revision", seconds(triaged.timing.total_s)],
    ["Cost of the LLM", money(triaged.cost_usd)],
    [
      "Origin",
      html`<span class="mono">${plain(triaged.origin.topic)}</span>, partition${" "}
        ${triaged.origin.partition}, offset ${triaged.origin.offset}`,
    ],
  ];
  return html`<details class="panel fold">
    <summary><h2>Model and calibration</h2></summary>
    <dl class="facts-table">
      ${facts.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}
    </dl>
  </details>`;
}
