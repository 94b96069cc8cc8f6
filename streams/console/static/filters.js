// What narrows a list: values with their counts, and words to look for.

import { html, useEffect, useRef, useState } from "./html.js";
import { count, facetOf, label, plural, word } from "./format.js";
import { useKeys } from "./keys.js";
import { plain } from "./text.js";
import { Key } from "./ui.js";

const SHOWN = 8;

/** `facets` maps a name to {title, say?}; `counts` is {name: {value: n}}. */
export function Facets({ facets, counts, query, onChange }) {
  const list = useRef(null);
  useKeys({
    f: () => {
      const first = list.current.querySelector(".facet-value");
      list.current.closest("details")?.setAttribute("open", "");
      first?.focus();
    },
  });
  return html`<div class="facets" ref=${list} onKeyDown=${moveInFacets}>
    <p class="facets-key soft small">Filters <${Key} name="F" /></p>
    ${Object.entries(facets).map(
      ([name, facet]) => html`<${Facet}
        key=${name}
        name=${name}
        facet=${facet}
        values=${counts?.[name]}
        chosen=${query[name]}
        onChange=${(value) => onChange({ ...query, [name]: value })}
      />`,
    )}
  </div>`;
}

const STEPS = { ArrowDown: 1, ArrowUp: -1, Home: -Infinity, End: Infinity };

/** The arrow keys go from value to value; Escape leaves the filters. */
function moveInFacets(event) {
  if (event.key === "Escape") document.getElementById("main").focus({ preventScroll: true });
  else if (Object.hasOwn(STEPS, event.key)) {
    const values = [...event.currentTarget.querySelectorAll(".facet-value")];
    const at = values.indexOf(event.target) + STEPS[event.key];
    values[Math.max(0, Math.min(values.length - 1, at))]?.focus();
  } else return;
  event.preventDefault();
}

function Facet({ name, facet, values, chosen, onChange }) {
  const [all, showAll] = useState(false);
  const entries = Object.entries(values ?? {}).filter(([value, n]) => n > 0 || value === chosen);
  if (chosen && !entries.some(([value]) => value === chosen)) entries.push([chosen, 0]);
  if (entries.length === 0 || (entries.length === 1 && !chosen && !facet.always)) return null;
  entries.sort(facet.order ? byRank(facet.order) : (a, b) => b[1] - a[1]);
  const shown = all ? entries : entries.slice(0, SHOWN);
  return html`<fieldset class="facet">
    <legend>${facet.title}</legend>
    <ul>
      ${shown.map(
        ([value, n]) => html`<li key=${value}>
          <button
            type="button"
            class="facet-value"
            aria-pressed=${value === chosen ? "true" : "false"}
            data-facet=${name}
            data-value=${value}
            onClick=${() => onChange(value === chosen ? undefined : value)}
          >
            <bdi class="facet-name foreign">${plain((facet.say ?? String)(value))}</bdi>
            <span class="number soft">${count(n)}</span>
          </button>
        </li>`,
      )}
    </ul>
    ${
      entries.length > SHOWN &&
      html`<button type="button" class="quiet" onClick=${() => showAll(!all)}>
      ${all ? "Show fewer" : `Show all ${entries.length}`}
    </button>`
    }
  </fieldset>`;
}

const byRank = (order) => (a, b) => {
  const rank = (value) => (order.includes(value) ? order.indexOf(value) : order.length);
  return rank(a[0]) - rank(b[0]) || b[1] - a[1];
};

/** A field whose words are asked for a moment after the last key. */
export function SearchField({ value = "", onChange, title, keyName = "/", focusRef }) {
  const [text, setText] = useState(value);
  const timer = useRef(0);
  const sent = useRef(value);
  useEffect(() => {
    if (value !== sent.current) setText(value);
    sent.current = value;
  }, [value]);
  const send = (next) => {
    sent.current = next.trim();
    onChange(next.trim());
  };
  const type = (event) => {
    const next = event.target.value;
    setText(next);
    clearTimeout(timer.current);
    timer.current = setTimeout(send, 250, next);
  };
  const press = (event) => {
    if (event.key === "Escape") event.target.blur();
    if (event.key !== "Enter") return;
    clearTimeout(timer.current);
    send(event.target.value);
  };
  return html`<label class="search">
    <span class="unseen-text">${title}</span>
    <input
      ref=${focusRef}
      type="search"
      placeholder=${title}
      value=${text}
      maxlength="200"
      onInput=${type}
      onKeyDown=${press}
    />
    ${keyName && html`<${Key} name=${keyName} />`}
  </label>`;
}

/** The filters that are on, each with a way to take it off. */
export function ActiveFilters({ facets, query, onChange }) {
  const on = Object.keys(facets).filter((name) => query[name]);
  if (on.length === 0 && !query.text) return null;
  const off = (name) => onChange({ ...query, [name]: undefined });
  const chip = (name, title, value) => html`<li key=${name}>
    <button type="button" class="chip" onClick=${() => off(name)}>
      <span class="soft">${title}</span> <bdi>${plain(value)}</bdi>
      <span aria-hidden="true">×</span><span class="unseen-text">, remove this filter</span>
    </button>
  </li>`;
  return html`<ul class="chips" aria-label="Filters that are on">
    ${on.map((name) => chip(name, facets[name].title, (facets[name].say ?? String)(query[name])))}
    ${query.text && chip("text", "Words", query.text)}
    ${
      on.length + (query.text ? 1 : 0) > 1 &&
      html`<li key="all">
      <button
        type="button"
        class="quiet"
        onClick=${() =>
          onChange({ ...query, text: undefined, ...Object.fromEntries(on.map((n) => [n])) })}
      >
        Remove all
      </button>
    </li>`
    }
  </ul>`;
}

export const SEVERITY_ORDER = [
  "critical",
  "urgent",
  "high",
  "medium",
  "normal",
  "low",
  "informational",
];

export const CASE_FACETS = {
  domain: { title: "Domain", say: word },
  queue: { title: "Queue", say: label },
  severity: { title: "Severity, priority: proposed", say: label, order: SEVERITY_ORDER },
  escalation: { title: "Why it is here", say: word },
  tenant: { title: "Tenant" },
  source: { title: "Source" },
};

/** Whether these filters let a case or decision through, as far as the page can tell. */
export const passes = (item, query, names) =>
  names.every((name) => !query[name] || String(facetOf(item, name) ?? "") === query[name]) &&
  (!query.text ||
    String(item.title ?? "")
      .toLowerCase()
      .includes(query.text.toLowerCase()));

export const casesFound = (n) => plural(n, "case", "cases");
