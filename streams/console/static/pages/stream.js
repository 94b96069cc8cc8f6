// The stream: decisions as they are made, the newest first.

import { html, useEffect, useRef, useState } from "../html.js";
import { get } from "../api.js";
import { ActiveFilters, Facets, passes, SearchField } from "../filters.js";
import { dateTime, label, percent, plural, seconds, time, word } from "../format.js";
import { useKeys } from "../keys.js";
import { on, onRecovery } from "../live.js";
import { hrefOf, replaceQuery, route, streamPlace } from "../router.js";
import { useStore } from "../store.js";
import { Inline } from "../text.js";
import { Arrivals, Empty, Failure, KeyButton, Loading, Tag, useWide } from "../ui.js";

const MOST_ROWS = 500;
const FIRST_ROWS = 200;
const DRAW_EVERY_MS = 250;

const FACETS = {
  domain: { title: "Domain", say: word },
  decided_by: { title: "Answered by", say: word },
  status: { title: "Status", say: word },
  queue: { title: "Queue", say: label },
  tenant: { title: "Tenant" },
  source: { title: "Source" },
};
const FILTERS = Object.keys(FACETS);
// The server knows these; the rest is filtered on the page.
const ASKED = ["domain", "queue", "tenant", "decided_by", "status", "text"];

function queryOf(address) {
  const query = {};
  for (const name of [...FILTERS, "text"]) if (address[name]) query[name] = address[name];
  return query;
}

export function StreamPage() {
  const query = queryOf(useStore(route).query);
  streamPlace.query = query;
  const feed = useFeed(query);
  const search = useRef(null);
  useKeys({ "/": () => search.current?.focus(), p: feed.togglePause });
  const change = (next) => replaceQuery("stream", next);
  const rows = feed.rows.filter((one) => passes(one, query, FILTERS));
  const wide = useWide();
  return html`<div class="with-rail">
    <aside class="rail" aria-label="Filters">
      <details class="rail-fold" open=${wide}>
        <summary>Filters</summary>
        <${Facets} facets=${FACETS} counts=${feed.counts} query=${query} onChange=${change} />
        <p class="note">The numbers count the last ${plural(feed.seen, "decision", "decisions")}.</p>
      </details>
    </aside>
    <section class="list-side">
      <header class="list-head">
        <div class="line">
          <h1>Stream</h1>
          <span class="soft">${feed.paused ? "paused" : "live"}</span>
          <span class="grow"></span>
          <${EventSearch} />
          <${SearchField}
            value=${query.text ?? ""}
            title="Words in the title"
            focusRef=${search}
            onChange=${(text) => change({ ...query, text: text || undefined })}
          />
          <${KeyButton} keyName="P"
            onClick=${feed.togglePause}>${feed.paused ? "Go on" : "Pause"}<//>
        </div>
        <${ActiveFilters} facets=${FACETS} query=${query} onChange=${change} />
      </header>
      <${Arrivals} n=${feed.waiting} most=${MOST_ROWS} onShow=${feed.showWaiting} />
      ${feed.error && html`<${Failure} error=${feed.error} onRetry=${feed.reload} />`}
      ${feed.loading && rows.length === 0 && html`<${Loading} what="Loading the decisions" />`}
      ${
        !feed.loading &&
        !feed.error &&
        rows.length === 0 &&
        html`<${Empty} title="No decision yet">
        ${Object.keys(query).length > 0 ? "None of the recent decisions fits these filters." : "Decisions appear here by themselves."}
      <//>`
      }
      ${
        rows.length > 0 &&
        html`<ol class="feed" aria-label="Decisions, the newest first">
        ${rows.map((one) => html`<${Decision} key=${one.seq} decision=${one} />`)}
      </ol>`
      }
      ${
        feed.older !== null &&
        rows.length > 0 &&
        html`<p class="state">
        <button type="button" class="button" onClick=${feed.loadOlder}>Show older decisions</button>
      </p>`
      }
    </section>
  </div>`;
}

function EventSearch() {
  const open = (event) => {
    event.preventDefault();
    const id = event.target.elements.id.value.trim();
    if (id) location.hash = hrefOf("event", [id]);
  };
  return html`<form class="search" onSubmit=${open} role="search">
    <label class="unseen-text" for="event-id">Id of an event</label>
    <input id="event-id" name="id" type="search" placeholder="Open an event by id" maxlength="512"
      />
  </form>`;
}

function Decision({ decision }) {
  const { id, domain, tenant } = decision;
  return html`<li class=${`feed-row ${decision.isNew ? "new" : ""}`} data-seq=${decision.seq}>
    <time class="number soft" datetime=${decision.triaged_at}
      title=${dateTime(decision.triaged_at)}>
      ${time(decision.triaged_at)}
    </time>
    <span class="feed-title">
      <a href=${hrefOf("event", [id], { domain, tenant })}><${Inline} text=${decision.title || id}
        /></a>
      <span class="soft small">
        ${decision.source && html`<${Inline} text=${decision.source} /> · `}<${Inline}
          text=${tenant} />
      </span>
    </span>
    <span>${label(decision.queue)} <span class="soft number">${confidenceOf(decision)}</span></span>
    <span>${word(decision.decided_by)}</span>
    <span><${Tag} kind=${STATUS_KINDS[decision.status]}>${word(decision.status)}<//></span>
    <span class="number soft end"
      title="From arrival to this decision">${seconds(decision.total_s)}</span>
  </li>`;
}

const STATUS_KINDS = { final: "good", provisional: "", needs_review: "warn" };

const confidenceOf = (one) =>
  one.decided_by === "human" || one.confidence === null ? "" : percent(one.confidence);

/** The rows of the feed, drawn at most some times a second however fast they come. */
function useFeed(query) {
  const key = JSON.stringify(query);
  const [state, setState] = useState({ rows: [], loading: true, error: null, older: null });
  const [paused, setPaused] = useState(false);
  const [waiting, setWaiting] = useState([]);
  const [round, setRound] = useState(0);
  const seen = useRef([]);
  const pausedNow = useRef(false);
  pausedNow.current = paused;

  useEffect(() => {
    const controller = new AbortController();
    setWaiting([]);
    setState((before) => ({ ...before, loading: true, error: null, rows: [] }));
    get("feed", { ...asked(query), limit: FIRST_ROWS }, controller.signal).then(
      (answer) => {
        setState({ rows: answer.decisions, loading: false, error: null, older: answer.next });
        if (Object.keys(query).length === 0) seen.current = answer.decisions;
      },
      (error) => {
        if (!controller.signal.aborted)
          setState((before) => ({ ...before, loading: false, error }));
      },
    );
    return () => controller.abort();
  }, [key, round]);

  useEffect(() => {
    let fresh = [];
    let timer = 0;
    const draw = () => {
      timer = 0;
      const arrived = fresh.reverse();
      fresh = [];
      seen.current = [...arrived, ...seen.current].slice(0, MOST_ROWS);
      const fitting = arrived.filter((one) => passes(one, query, FILTERS));
      if (fitting.length === 0) return;
      const holds = pausedNow.current || scrollY > 200;
      if (holds) setWaiting((before) => [...fitting, ...before].slice(0, MOST_ROWS));
      else addRows(setState, fitting);
    };
    const end = on("decision", (decision) => {
      fresh.push({ ...decision, isNew: true });
      if (fresh.length > MOST_ROWS) fresh.shift();
      timer ||= setTimeout(draw, DRAW_EVERY_MS);
    });
    return () => {
      clearTimeout(timer);
      end();
    };
  }, [key]);

  useEffect(() => onRecovery(() => setRound((n) => n + 1)), []);

  const showWaiting = () => {
    addRows(setState, waiting);
    setWaiting([]);
    scrollTo(0, 0);
  };
  const loadOlder = async () => {
    try {
      const answer = await get("feed", { ...asked(query), limit: FIRST_ROWS, before: state.older });
      setState((before) => ({
        ...before,
        rows: [...before.rows, ...answer.decisions],
        older: answer.next,
      }));
    } catch (error) {
      setState((before) => ({ ...before, error }));
    }
  };
  return {
    ...state,
    paused,
    waiting: waiting.length,
    showWaiting,
    loadOlder,
    reload: () => setRound((n) => n + 1),
    togglePause: () => {
      if (paused) showWaiting();
      setPaused(!paused);
    },
    counts: countsOf(seen.current.length > 0 ? seen.current : state.rows),
    seen: seen.current.length || state.rows.length,
  };
}

const asked = (query) =>
  Object.fromEntries(ASKED.filter((name) => query[name]).map((name) => [name, query[name]]));

function addRows(setState, rows) {
  setState((before) => {
    const known = new Set(before.rows.map((one) => one.seq));
    const added = rows.filter((one) => !known.has(one.seq));
    return { ...before, rows: [...added, ...before.rows].slice(0, MOST_ROWS) };
  });
}

function countsOf(rows) {
  const counts = {};
  for (const name of FILTERS) {
    const values = new Map();
    for (const row of rows) {
      if (row[name]) values.set(row[name], (values.get(row[name]) ?? 0) + 1);
    }
    counts[name] = Object.fromEntries(values);
  }
  return counts;
}
