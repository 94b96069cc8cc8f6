// The axes of a case: what is proposed, with what confidence, and what else it may be.

import { html } from "../html.js";
import { label } from "../format.js";
import { Confidence, Key, Tag } from "../ui.js";

const MOST_ALTERNATIVES = 9;
const USUAL_ALTERNATIVES = 5;

/** What is chosen before the person does anything: `values`, or else what is proposed. */
export const initialChoice = (proposal, values = {}) =>
  Object.fromEntries(
    Object.entries(proposal).map(([axis, one]) => [
      axis,
      { value: values[axis] ?? one.value, touched: false },
    ]),
  );

/**
 * {axis: value} of a verdict: what decides, what the person chose, and what the model is sure of.
 * A label that the model itself calls a hint does not become a person's by a key that accepts.
 */
export function labelsToSend(proposal, choice, deciding) {
  const sent = {};
  for (const [axis, { value, touched }] of Object.entries(choice)) {
    if (deciding.includes(axis) || touched || !proposal[axis].abstained) sent[axis] = value;
  }
  return sent;
}

export function Axes({
  data,
  axes,
  deciding,
  choice,
  active,
  onChoose,
  onActive,
  onNextAxis,
  readOnly,
}) {
  const following = axes[(axes.indexOf(active) + 1) % axes.length];
  return html`<div class="axes">
    ${axes.map(
      (axis) => html`<${Axis}
        key=${axis}
        axis=${axis}
        proposed=${data.proposal[axis]}
        chosen=${choice[axis]}
        decides=${deciding.includes(axis)}
        open=${axis === active}
        onOpen=${() => onActive(axis)}
        onChoose=${onChoose}
        onNextAxis=${axes.length > 1 ? onNextAxis : null}
        following=${following}
        readOnly=${readOnly}
      />`,
    )}
  </div>`;
}

function Axis({
  axis,
  proposed,
  chosen,
  decides,
  open,
  onOpen,
  onChoose,
  onNextAxis,
  following,
  readOnly,
}) {
  const changed = chosen.value !== proposed.value;
  const hint = proposed.abstained && !decides && !chosen.touched;
  if (!open) {
    return html`<button type="button" class="axis closed" onClick=${onOpen} data-axis=${axis}>
      <span class="axis-name">${label(axis)}</span>
      <span class=${changed ? "changed" : ""}>
        <strong>${label(chosen.value)}</strong>
        ${hint && html`<span class="soft small block">only a hint: not part of your decision</span>`}
      </span>
      ${changed ? html`<${Tag}>${chosen.touched ? "your choice" : "decided"}<//>` : html`<${Confidence} value=${proposed.confidence} />`}
    </button>`;
  }
  const listed = proposed.alternatives.slice(0, MOST_ALTERNATIVES);
  const usual = listed.slice(0, USUAL_ALTERNATIVES);
  const options = [
    { ...proposed, key: "0" },
    ...usual.map((one, at) => ({ ...one, key: `${at + 1}` })),
  ];
  if (!options.some((one) => one.value === chosen.value)) {
    const other = listed.find((one) => one.value === chosen.value);
    options.push({ value: chosen.value, confidence: other?.confidence ?? null, key: "" });
  }
  return html`<fieldset class="axis open" data-axis=${axis}>
    <legend>
      <span class="axis-name">${label(axis)}</span>
      ${decides && html`<${Tag}>required<//>`}
      <span class="grow"></span>
      ${
        onNextAxis &&
        !readOnly &&
        html`<button type="button" class="quiet small" aria-keyshortcuts="X" onClick=${onNextAxis}>
        Next: ${label(following)} <${Key} name="X" />
      </button>`
      }
    </legend>
    ${options.map(
      (one, at) => html`<button
        type="button"
        key=${one.value}
        class="option"
        data-value=${one.value}
        aria-pressed=${one.value === chosen.value ? "true" : "false"}
        aria-keyshortcuts=${one.key || undefined}
        disabled=${readOnly}
        onClick=${() => onChoose(axis, one.value)}
      >
        <span class="option-key">${one.key && !readOnly && html`<${Key} name=${one.key} />`}</span>
        <span class="option-name">${label(one.value)}
          ${at === 0 && html` <span class="soft small">proposed</span>`}</span>
        ${
          one.confidence === null
            ? html`<span class="soft small">not among the likeliest</span>`
            : html`<${Confidence} value=${one.confidence} />`
        }
      </button>`,
    )}
    ${
      hint &&
      !readOnly &&
      html`<p class="note">
      The model is not sure of this. It becomes part of your decision only if you choose it.
    </p>`
    }
  </fieldset>`;
}
