// How it is going: every plot says in a sentence what it means.

import { html, useEffect, useState } from "../html.js";
import { may, post } from "../api.js";
import {
  count,
  dateTime,
  label,
  money,
  percent,
  plural,
  seconds,
  sentence,
  time,
  word,
} from "../format.js";
import { onRecovery } from "../live.js";
import { notify } from "../notices.js";
import { Figure, Plot } from "../plot.js";
import { replaceQuery, route } from "../router.js";
import { useStore } from "../store.js";
import { plain } from "../text.js";
import { Failure, Loading, Tag, useAsked } from "../ui.js";

const EVERY_MS = 30_000;
const SPANS = { 1: "the last hour", 24: "the last day", 168: "the last week" };
const DECIDERS = ["slm", "rule", "llm", "human"];

export function FiguresPage() {
  const { query } = useStore(route);
  const hours = Object.hasOwn(SPANS, query.hours ?? "") ? query.hours : "24";
  const { domain } = query;
  const asked = useAsked("figures", { query: { hours, domain } });
  useEffect(() => onRecovery(asked.reload), []);
  useEffect(() => {
    const timer = setInterval(() => !document.hidden && asked.reload(), EVERY_MS);
    return () => clearInterval(timer);
  }, []);
  const change = (next) => replaceQuery("figures", { hours, domain, ...next });
  return html`
    <header class="list-head">
      <div class="line">
        <h1>How it is going</h1>
        ${asked.data && html`<span class="soft">as of <span class="number">${time(asked.data.as_of)}</span></span>`}
        <span class="grow"></span>
        <label class="choice">
          <span class="soft">Domain</span>
          <select value=${domain ?? ""}
            onChange=${(event) => change({ domain: event.target.value })}>
            <option value="">alerts and tickets</option>
            <option value="alerts">alerts</option>
            <option value="tickets">tickets</option>
          </select>
        </label>
        <label class="choice">
          <span class="soft">Time</span>
          <select value=${hours} onChange=${(event) => change({ hours: event.target.value })}>
            ${Object.entries(SPANS).map(([value, name]) => html`<option value=${value}>${name}</option>`)}
          </select>
        </label>
      </div>
    </header>
    ${asked.error && html`<${Failure} error=${asked.error} onRetry=${asked.reload} />`}
    ${!asked.data && asked.loading && html`<${Loading} what="Counting" />`}
    ${asked.data && html`<${All} figures=${asked.data} reload=${asked.reload} />`}
  `;
}

function All({ figures, reload }) {
  const notes = figures.notes ?? {};
  const parts = [
    ["shares", Shares],
    ["promise", Promised],
    ["cost", Cost],
    ["volume", Volume],
    ["confidence", Confidences],
    ["risk_coverage", RiskCoverage],
    ["latency", Latency],
    ["lag", Lag],
    ["learning", Learning],
    ["candidate", Candidate],
  ];
  return html`<div class="figures">
    ${parts.map(
      ([name, Part]) => html`<${Part}
        key=${name}
        data=${figures[name]}
        note=${figures[name] ? null : sentence(plain(notes[name] ?? "Nothing is known of this yet."))}
        figures=${figures}
        reload=${reload}
      />`,
    )}
  </div>`;
}

function Shares({ data, note }) {
  const parts = [...DECIDERS, "open"].filter((name) => data?.[name] > 0);
  const total = parts.reduce((sum, name) => sum + data[name], 0);
  const named = (name) => (name === "open" ? "Still open" : word(name));
  return html`<${Figure}
    title="Who decided"
    meaning="Of all events, how many ended with the small model, a rule, the LLM or a person. The more of the bar is the small model, the less waits and costs."
    note=${note}
    broad=${true}
    heads=${["Decided by", "Events", "Share"]}
    rows=${parts.map((name) => [named(name), count(data[name]), percent(data[name] / total)])}
  >
    <div class="shares" aria-hidden="true">
      ${parts.map(
        (name) =>
          html`<span key=${name} class=${`share-part ${name}`}
            style=${{ flex: `${data[name]} 0 0` }}></span>`,
      )}
    </div>
    <ul class="share-list">
      ${parts.map(
        (name) => html`<li key=${name}>
          <span class=${`share-part ${name}`} aria-hidden="true"></span>
          ${named(name)} <strong class="number">${percent(data[name] / total)}</strong>
          <span class="soft number">${count(data[name])}</span>
        </li>`,
      )}
    </ul>
  <//>`;
}

function Volume({ data, note }) {
  const shown = data ? DECIDERS.filter((name) => data[name]?.some((n) => n > 0)) : [];
  const at = (data?.starts ?? []).map((start) => Date.parse(start) / 1000);
  const every = data ? seconds(data.step_s) : "";
  return html`<${Figure}
    title="Volume"
    meaning=${`Decisions in steps of ${every}, by who made them.`}
    note=${note ?? (at.length < 2 ? "There are too few decisions for a plot yet." : null)}
    heads=${["From", ...shown.map(word)]}
    rows=${(data?.starts ?? []).map((start, i) => [dateTime(start), ...shown.map((name) => count(data[name][i]))])}
  >
    <${Plot}
      name="Volume"
      columns=${[at, ...shown.map((name) => data[name])]}
      series=${shown.map((name) => ({ name: word(name), tone: name === "human" ? "ink" : "accent" }))}
      x=${{ time: true, name: "From" }}
      y=${{ format: short, range: fromZero, whole: true }}
    />
  <//>`;
}

const short = (value) =>
  value >= 10_000
    ? `${Math.round(value / 1000)}k`
    : value >= 1 || value === 0
      ? count(Math.round(value))
      : String(value);
const fromZero = (_, __, high) => [0, (high || 1) * 1.08];

const STATES = {
  kept: ["good", "Kept"],
  in_doubt: ["warn", "In doubt"],
  broken: ["bad", "Broken"],
};

function Promised({ data, note }) {
  const domains = Object.entries(data ?? {}).filter(([, one]) => one?.state);
  return html`<${Figure}
    title="The promise"
    meaning="Spot checks by people measure how often an accepted event is wrong. The promise is kept as long as that share stays below α."
    note=${note ?? (domains.length === 0 ? "No spot check has been decided yet." : null)}
    heads=${["Domain", "State", "Wrong, estimated", "Between", "α", "Checks", "Wrong"]}
    rows=${domains.map(([domain, one]) => [
      word(domain),
      stateOf(one)[1],
      percent(one.estimate),
      `${percent(one.low)} – ${percent(one.high)}`,
      percent(one.alpha),
      count(one.checks),
      count(one.wrong),
    ])}
  >
    ${domains.map(
      ([domain, one]) => html`<div class="promise-line" key=${domain}>
        <strong>${word(domain)}</strong>
        <div>
          <p><${Tag} kind=${stateOf(one)[0]}>${stateOf(one)[1]}<//>${` ${sayPromise(one)}`}</p>
          <${PromiseScale} one=${one} />
        </div>
      </div>`,
    )}
  <//>`;
}

function sayPromise({ estimate, low, high, alpha, checks, wrong }) {
  const about = Number.isFinite(estimate) ? `about ${percent(estimate)}, ` : "";
  const behind = `Behind it: ${plural(checks, "spot check", "spot checks")}, ${count(wrong)} wrong.`;
  const between = `${about}between ${percent(low)} and ${percent(high)}`;
  return `Of what was accepted, ${between} is wrong; promised is at most ${percent(alpha)}. ${behind}`;
}

/** What the spot checks leave possible, with α marked. */
function PromiseScale({ one: { low, high, alpha } }) {
  const end = Math.min(1, Math.max(high, alpha) * 1.2) || 1;
  const at = (ratio) => `${(Math.max(0, ratio) / end) * 100}%`;
  return html`<div class="scale" aria-hidden="true">
    <div class="scale-line">
      <span class="scale-fill" style=${{ left: at(low), width: at(high - low) }}></span>
      <span class="scale-mark" style=${{ left: at(alpha) }}></span>
    </div>
    <div class="line small soft">
      <span>0 %</span><span class="grow"></span><span>the mark is α</span><span class="grow"></span>
      <span>${percent(end)}</span>
    </div>
  </div>`;
}

const stateOf = (one) => (Object.hasOwn(STATES, one.state) ? STATES[one.state] : ["", "Not known"]);

function Confidences({ data, note }) {
  const middles = (data?.edges ?? []).slice(0, -1);
  const bin = (i) => `${percent(data.edges[i])} – ${percent(data.edges[i + 1])}`;
  return html`<${Figure}
    title="Confidence"
    meaning="How sure the small model was. Accepted events stand on the right; the height has a logarithmic scale, so that few are seen beside many."
    note=${note}
    heads=${["Confidence", "Accepted", "Escalated"]}
    rows=${middles.map((_, i) => [bin(i), count(data.accepted[i]), count(data.escalated[i])])}
  >
    <${Plot}
      name="Confidence"
      columns=${histogram(data)}
      series=${[
        { name: "Accepted", kind: "bars", tone: "accent", strength: 0.75 },
        { name: "Escalated", kind: "steps", tone: "ink" },
      ]}
      x=${{ name: "Confidence from", format: percent, range: () => [0, 1] }}
      y=${{ format: short, log: true }}
    />
  <//>`;
}

/** The last step needs an end of its own; a count of 0 has no place on a logarithmic scale. */
function histogram(data) {
  if (!data) return [[], [], []];
  const counts = (name) => data[name].map((n) => n || null);
  return [
    data.edges,
    [...counts("accepted"), null],
    [...counts("escalated"), counts("escalated").at(-1)],
  ];
}

function RiskCoverage({ data, note }) {
  const domains = Object.entries(data ?? {}).filter(([, one]) => one?.coverage?.length > 1);
  const columns = joined(domains.map(([, one]) => [one.coverage, one.error]));
  const alpha = domains[0]?.[1].alpha;
  return html`<${Figure}
    title="Risk and coverage"
    meaning="If the small model decided this share of the events alone, this share of them would be wrong. The red line is α, what is promised; the grey ones are where the model decides today."
    note=${note ?? (domains.length === 0 ? "There are too few decisions by people for this plot yet." : null)}
    heads=${["Coverage", ...domains.map(([domain]) => `Wrong, ${word(domain)}`)]}
    rows=${(columns[0] ?? []).map((cover, i) => [
      percent(cover),
      ...domains.map((_, at) => (columns[at + 1][i] === null ? "–" : percent(columns[at + 1][i]))),
    ])}
  >
    <${Plot}
      name="Risk and coverage"
      columns=${columns}
      series=${domains.map(([domain]) => ({ name: word(domain) }))}
      marks=${[
        { y: alpha, tone: "bad" },
        ...domains.map(([, one]) => ({ x: one.threshold_coverage, tone: "soft" })),
      ].filter((mark) => Number.isFinite(mark.y ?? mark.x))}
      x=${{ name: "Coverage", format: percent, range: () => [0, 1] }}
      y=${{ format: percent, range: fromZero }}
    />
    ${domains.map(
      ([domain, one]) => html`<p class="small" key=${domain}>
        ${`${word(domain)}: today ${percent(one.threshold_coverage)} of the events are decided alone.`}
      </p>`,
    )}
    ${domains[0]?.[1].note && html`<p class="note">${sentence(plain(domains[0][1].note))}</p>`}
  <//>`;
}

/** Curves over different places, as columns over all places. */
function joined(curves) {
  const places = [...new Set(curves.flatMap(([x]) => x))].sort((a, b) => a - b);
  const columns = curves.map(([x, y]) => {
    const at = new Map(x.map((place, i) => [place, y[i]]));
    return places.map((place) => at.get(place) ?? null);
  });
  return [places, ...columns];
}

function Latency({ data, note }) {
  const rows = data
    ? [
        ["Half of the events", data.p50_s],
        ["95 of 100", data.p95_s],
        ["99 of 100", data.p99_s],
        ["The model alone, half of the events", data.inference_p50_s],
      ]
    : [];
  return html`<${Figure}
    title="Latency"
    meaning="From when an event entered Kafka to its decision. Half, 95 and 99 of 100 events were faster than this."
    note=${note}
    heads=${["Share of events", "Faster than"]}
    rows=${rows.map(([name, value]) => [name, seconds(value)])}
  >
    <dl class="big-numbers">
      ${rows.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${seconds(value)}</dd></div>`)}
    </dl>
    <p class="note">${plural(data?.n ?? 0, "decision", "decisions")} of the small model.</p>
  <//>`;
}

function Lag({ data, note }) {
  const topics = data?.topics ?? [];
  return html`<${Figure}
    title="Lag"
    meaning="Records that wait to be read. A number that only grows means that a worker is missing or too slow."
    note=${note}
  >
    <dl class="big-numbers"><div><dt>All topics</dt><dd>${count(data?.total)}</dd></div></dl>
    <table class="lines">
      <caption class="unseen-text">Lag by topic</caption>
      <thead><tr><th scope="col">Topic</th><th scope="col" class="number">Records that
        wait</th></tr></thead>
      <tbody>
        ${topics.map(
          (one) => html`<tr key=${one.topic}>
            <td class="mono">${plain(one.topic)}</td>
            <td class="number">${count(one.lag)}</td>
          </tr>`,
        )}
      </tbody>
    </table>
  <//>`;
}

function Cost({ data, note }) {
  return html`<${Figure}
    title="Cost"
    meaning="What the LLM has cost, beside what it would have cost to ask it about every event."
    note=${note}
  >
    <dl class="big-numbers">
      <div><dt>Saved</dt><dd>${money(data?.saved_usd)}</dd></div>
      <div><dt>Spent on the LLM</dt><dd>${money(data?.llm_usd)}</dd></div>
      <div><dt>If the LLM read all</dt><dd>${money(data?.all_llm_usd)}</dd></div>
      <div><dt>Calls</dt><dd>${count(data?.calls)}</dd></div>
      <div><dt>Decisions by people</dt><dd>${count(data?.human_decisions)}</dd></div>
    </dl>
  <//>`;
}

function Learning({ data, note }) {
  const domains = Object.entries(data ?? {});
  const curves = domains.flatMap(([domain, one]) => [
    { name: `${word(domain)}, models that were served or tried`, points: one.models, style: 0 },
    { name: `${word(domain)}, with a part of the rows`, points: one.curve, style: 1 },
  ]);
  const shown = curves.filter(({ points }) => points.length > 0);
  const columns = joined(
    shown.map(({ points }) => [points.map((one) => one.rows), points.map((one) => one.right)]),
  );
  return html`<${Figure}
    title="Learning"
    meaning="How often the model is right on rows that it has not seen, after it has learned from this many decisions. A rising line says that more decisions by people still help; a flat one, that they no longer do."
    note=${note ?? (shown.length === 0 ? "No model has learned from people's decisions yet." : null)}
    heads=${["Decisions", ...shown.map(({ name }) => `Right: ${name}`)]}
    rows=${(columns[0] ?? []).map((rows, i) => [
      count(rows),
      ...shown.map((_, at) => (columns[at + 1][i] === null ? "–" : percent(columns[at + 1][i]))),
    ])}
  >
    <${Plot}
      name="Learning"
      columns=${columns}
      series=${shown.map(({ name, style }) => ({ name, style, points: true }))}
      x=${{ name: "Decisions", format: short }}
      y=${{ format: percent, range: (_, low, high) => [Math.max(0, low - 0.05), Math.min(1, high + 0.05)] }}
    />
    ${domains.map(
      ([domain, one]) =>
        one.line &&
        html`<p class="small" key=${domain}>${sayLearning(domain, one)}</p>`,
    )}
  <//>`;
}

/** What is accepted now, and how many decisions more are needed until half of the events are. */
function sayLearning(domain, { line }) {
  const now = `${word(domain)}: ${percent(line.accepted)} of the events are decided alone now, with at most ${percent(line.alpha)} wrong.`;
  const { fewest, most } = line.until_half;
  if (fewest === 0) return now;
  if (fewest === null) return `${now} How many more decisions it takes until half of the events are cannot be foreseen.`;
  const upTo = most === null ? "or many more" : `to ${count(rounded(most))}`;
  return `${now} Until half of the events are, it takes about ${count(rounded(fewest))} ${upTo} decisions more.`;
}

/** Two digits: a forecast knows no more. */
const rounded = (n) => Number(n.toPrecision(2));

function Candidate({ data, note, reload }) {
  const [asking, setAsking] = useState(false);
  const [busy, setBusy] = useState(false);
  const promote = async () => {
    setBusy(true);
    try {
      await post("models/promote", { name: data.name });
      notify(`${plain(data.name)} is the model now. Workers take it within seconds.`, {
        kind: "good",
      });
      reload();
    } catch (error) {
      notify(error.message, { kind: "bad" });
    } finally {
      setBusy(false);
      setAsking(false);
    }
  };
  return html`<${Figure}
    title="Candidate"
    meaning="A model that was trained from people's decisions answers the same events in shadow. Nothing of it is published until somebody promotes it."
    note=${note}
  >
    <dl class="big-numbers">
      <div><dt>Agrees with the present model</dt><dd>${percent(data?.agreement)}</dd></div>
      <div><dt>Events compared</dt><dd>${count(data?.events)}</dd></div>
    </dl>
    <p>Name: <span class="mono">${plain(data?.name)}</span></p>
    ${
      may("admin")
        ? html`<div class="line">
          ${
            asking
              ? html`<span>Every worker will answer with it.</span>
                <button type="button" class="button primary" data-action="promote" disabled=${busy}
                  onClick=${promote}>
                  Promote it
                </button>
                <button type="button" class="button"
                  onClick=${() => setAsking(false)}>Cancel</button>`
              : html`<button type="button" class="button" onClick=${() => setAsking(true)}>Promote
                …</button>`
          }
        </div>`
        : html`<p class="note">An admin can promote it.</p>`
    }
  <//>`;
}
