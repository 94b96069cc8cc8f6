// Why the case is here, and what made the proposal.

import { html, useState } from "../html.js";
import { label, percent, sentence as asSentence, word } from "../format.js";
import { Inline, plain } from "../text.js";

/** For the other reasons, the risk did not decide. */
const WITH_SCALE = new Set(["risk", "spot_check"]);

export function Why({ data, deciding, active }) {
  const { why } = data;
  return html`<section class="panel why">
    <h2>Why it is here</h2>
    <p>${sentence(why, deciding, data)}</p>
    ${WITH_SCALE.has(why.escalation) && html`<${RiskScale} risk=${why.risk} threshold=${why.threshold} />`}
    ${
      (why.reasons ?? []).length > 0 &&
      html`<details class="fold small" open=${why.escalation === "unfamiliar"}>
      <summary>As the pipeline says it</summary>
      <ul class="reasons">
        ${why.reasons.map((reason) => html`<li><${Inline} text=${reason} /></li>`)}
      </ul>
    </details>`
    }
    <h3>What weighed most, for (+) and against (−) the proposal</h3>
    <${Weights} why=${why} active=${active} />
  </section>`;
}

function sentence(why, deciding, data) {
  const axes = deciding.map(label).join(" or ");
  const risk = percent(why.risk);
  const limit = percent(why.threshold);
  const sentences = {
    risk: `The ${axes} may be wrong with an estimated probability of ${risk}. The small model decides alone only below ${limit}.`,
    unfamiliar: "This event is unlike the ones that the small model has learned from, so the percentages of its proposal say little.",
    uncalibrated: "The small model has no promise for events like this, so a person decides.",
    promise_broken: `The promise is broken, so the small model now accepts less. It would have accepted this event before, with a risk of ${risk}.`,
    high_impact: "An event of this impact must end with a person, whatever the model says.",
    rule: `A rule sends events like this to a person${why.rule ? `: ${plain(why.rule)}` : ""}.`,
    spot_check:
      "The small model had accepted this event. It was drawn at random to check that its promise holds.",
  };
  if (data.triaged.decided_by === "human") return "A person has decided it already.";
  if (!why.escalation && data.triaged.status === "final")
    return `It does not wait for a person. It was decided by: ${word(data.triaged.decided_by)}. You can correct that.`;
  return sentences[why.escalation] ?? "It waits for a person.";
}

/** The risk on a line from 0 to 100 %, with the threshold marked. */
function RiskScale({ risk, threshold }) {
  if (!Number.isFinite(risk)) return null;
  const at = (ratio) => `${Math.max(0, Math.min(1, ratio)) * 100}%`;
  return html`<div class="scale">
    <div class="scale-line" aria-hidden="true">
      <span class="scale-fill" style=${{ width: at(risk) }}></span>
      ${
        Number.isFinite(threshold) &&
        html`<span class="scale-mark" style=${{ left: at(threshold) }}></span>`
      }
    </div>
    <div class="line small">
      <span>Risk <strong class="number">${percent(risk)}</strong></span>
      <span class="grow"></span>
      <span class="soft">Threshold <span class="number">${percent(threshold)}</span></span>
    </div>
  </div>`;
}

const WEIGHTS_SHOWN = 10;

function Weights({ why, active }) {
  const [all, showAll] = useState(false);
  const block = why.words?.find((one) => one.axis === active) ?? null;
  if (why.unavailable) return html`<p class="soft">${asSentence(plain(why.unavailable))}</p>`;
  if (!block || block.items.length === 0) {
    return html`<p class="soft">No single word weighed much for the ${label(active)}.</p>`;
  }
  const largest = Math.max(...block.items.map((one) => Math.abs(one.weight)), 1e-9);
  const shown = all ? block.items : block.items.slice(0, WEIGHTS_SHOWN);
  return html`<table class="weights">
    <caption>
      ${label(active)}: for <strong>${label(block.value)}</strong>, against
      <strong> ${label(block.against)}</strong>
    </caption>
    <thead class="unseen-text">
      <tr><th scope="col">Word and field</th><th scope="col">Weight</th></tr>
    </thead>
    <tbody>
      ${shown.map((one) => {
        const width = `${(Math.abs(one.weight) / largest) * 50}%`;
        const side = one.weight >= 0 ? "for" : "against";
        return html`<tr class=${side}>
          <th scope="row">
            <${Inline} text=${one.text} className="mono" />
            ${one.field && html` <span class="soft small"><${Inline} text=${one.field} /></span>`}
          </th>
          <td class="weight">
            <span class="weight-line" aria-hidden="true">
              <span class=${`weight-fill ${side}`} style=${{ width }}></span>
            </span>
            <span
              class="number small">${one.weight >= 0 ? "+" : "−"}${Math.abs(one.weight).toFixed(2)}</span>
          </td>
        </tr>`;
      })}
    </tbody>
    ${
      block.items.length > WEIGHTS_SHOWN &&
      html`<tfoot>
      <tr>
        <td colspan="2">
          <button type="button" class="quiet flush" onClick=${() => showAll(!all)}>
            ${all ? "Show fewer" : `Show all ${block.items.length}`}
          </button>
        </td>
      </tr>
    </tfoot>`
    }
  </table>`;
}
