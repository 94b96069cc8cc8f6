// All labels, those of the open axis first; type to find one of any axis.

import { html, useId, useMemo, useState } from "../html.js";
import { label } from "../format.js";
import { plain } from "../text.js";
import { Dialog } from "../ui.js";

const MOST = 60;

/** `labels` is {axis: [{value, description}]}; `onChoose(axis, value)`. */
export function LabelSearch({ labels, axes, onChoose, onClose }) {
  const [words, setWords] = useState("");
  const [at, setAt] = useState(0);
  const id = useId();
  const all = useMemo(
    () => axes.flatMap((axis) => (labels[axis] ?? []).map((one) => ({ axis, ...one }))),
    [labels, axes],
  );
  const found = search(all, words).slice(0, MOST);
  const choose = (one) => {
    if (!one) return;
    onChoose(one.axis, one.value);
    onClose();
  };
  const press = (event) => {
    const steps = { ArrowDown: 1, ArrowUp: -1 };
    if (steps[event.key]) {
      event.preventDefault();
      const next = (at + steps[event.key] + found.length) % Math.max(1, found.length);
      setAt(next);
      document.getElementById(`${id}-${next}`)?.scrollIntoView({ block: "nearest" });
    } else if (event.key === "Enter") {
      event.preventDefault();
      choose(found[at]);
    }
  };
  return html`<${Dialog} title="All labels" onClose=${onClose}>
    <input
      type="text"
      class="label-search"
      autocomplete="off"
      spellcheck="false"
      role="combobox"
      aria-label="Part of a label or of its meaning"
      aria-expanded="true"
      aria-controls=${`${id}-list`}
      aria-activedescendant=${found.length ? `${id}-${at}` : undefined}
      placeholder="Part of a label or of its meaning"
      autofocus
      value=${words}
      onInput=${(event) => {
        setWords(event.target.value);
        setAt(0);
      }}
      onKeyDown=${press}
    />
    ${found.length === 0 && html`<p class="soft" role="status">No label fits these words.</p>`}
    <ul class="label-list" role="listbox" id=${`${id}-list`} aria-label="Labels">
      ${found.map(
        (one, place) => html`<li
          key=${`${one.axis} ${one.value}`}
          id=${`${id}-${place}`}
          role="option"
          aria-selected=${place === at ? "true" : "false"}
          onClick=${() => choose(one)}
        >
          <span class="soft">${label(one.axis)}</span> <strong>${label(one.value)}</strong>
          ${one.description && html`<span class="meaning">${plain(one.description)}</span>`}
        </li>`,
      )}
    </ul>
  <//>`;
}

/** The labels that fit some words, the best first: of those, Enter takes the first. */
export function search(all, words) {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  if (wanted.length === 0) return all;
  const rank = (one) => {
    const name = `${label(one.value)} ${one.value}`.toLowerCase();
    const whole = `${name} ${one.axis} ${one.description ?? ""}`.toLowerCase();
    if (!wanted.every((part) => whole.includes(part))) return null;
    if (name.startsWith(wanted[0])) return 0;
    return wanted.every((part) => name.includes(part)) ? 1 : 2;
  };
  return all
    .map((one) => [rank(one), one])
    .filter(([place]) => place !== null)
    .sort((a, b) => a[0] - b[0])
    .map(([, one]) => one);
}
