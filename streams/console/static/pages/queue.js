// The queue: open cases in the order in which they matter, and what narrows them.

import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "../html.js";
import { may } from "../api.js";
import { caseKey, lastSeen, openList, refreshList, workList } from "../caselist.js";
import { ActiveFilters, CASE_FACETS, casesFound, Facets, passes, SearchField } from "../filters.js";
import { useHeldKeys, useKeys } from "../keys.js";
import { on, onRecovery } from "../live.js";
import { caseHref, go, replaceQuery, route } from "../router.js";
import { useStore } from "../store.js";
import { announce, Arrivals, Empty, Failure, KeyButton, Loading, useAsked, useNow, useWide } from "../ui.js";
import { WindowedList } from "../window.js";
import { BulkDialog } from "./bulk.js";
import { Row } from "./queuerow.js";

const ORDERS = {
  urgency: "Stated critical first, then the most unsure",
  risk: "The most unsure first",
  age: "The oldest first",
  stated: "The highest stated first, then the highest proposed",
  queue: "By the name of the queue, then stated critical",
};

const FILTERS = Object.keys(CASE_FACETS);
const MOST_ARRIVED = 1000;
const place = { scroll: 0, cursor: null };

export function queryOf(address) {
  const query = { order: Object.hasOwn(ORDERS, address.order ?? "") ? address.order : "urgency" };
  for (const name of [...FILTERS, "text"]) if (address[name]) query[name] = address[name];
  return query;
}

export function QueuePage() {
  const query = queryOf(useStore(route).query);
  const key = JSON.stringify(query);
  const { list } = useStore(workList);
  useEffect(() => {
    const now = workList.get();
    openList(query, { fresh: Boolean(now.list?.changed || now.list?.error) });
  }, [key]);
  const counts = useAsked("cases/counts", { query });
  const countedAt = useMemo(() => Date.now(), [counts.data]);
  const arrivals = useArrivals(query, key, counts.reload);
  const change = (next) => {
    place.cursor = null;
    place.scroll = 0;
    lastSeen.key = null;
    replaceQuery("queue", { ...next, order: next.order === "urgency" ? undefined : next.order });
  };
  const fresh = () => {
    openList(query, { fresh: true });
    counts.reload();
    arrivals.clear();
    scrollTo(0, 0);
  };
  const mine = list && JSON.stringify(workList.get().query) === key ? list : null;
  const data = mine ? mine.waiting(counts.data, countedAt) : counts.data;
  return html`<div class="with-rail">
    <aside class="rail" aria-label="Filters">
      <${Rail} counts=${{ ...counts, data }} query=${query} onChange=${change} />
    </aside>
    <section class="list-side">
      <${ListHead} list=${mine} query=${query} onChange=${change} />
      <${Arrivals} n=${arrivals.n} most=${MOST_ARRIVED} onShow=${fresh} />
      ${mine ? html`<${Cases} list=${mine} query=${query} onChange=${change} onFresh=${fresh} />` : html`<${Loading} what="Loading the cases" />`}
    </section>
  </div>`;
}

function Rail({ counts, query, onChange }) {
  const wide = useWide();
  return html`<details class="rail-fold" open=${wide}>
    <summary>Filters</summary>
    ${
      counts.error && !counts.data
        ? html`<p class="soft small">${counts.error.message}</p>`
        : html`<${Facets} facets=${CASE_FACETS} counts=${counts.data} query=${query}
          onChange=${onChange} />`
    }
  </details>`;
}

function ListHead({ list, query, onChange }) {
  const search = useRef(null);
  useKeys({ "/": () => search.current?.focus() });
  useStore(workList);
  const open = list?.open ?? null;
  const filtered = FILTERS.some((name) => query[name]) || query.text;
  useEffect(() => {
    if (open !== null) announce(`${casesFound(open)} ${filtered ? "found" : "open"}`);
  }, [open === null, JSON.stringify(query)]);
  return html`<header class="list-head">
    <div class="line">
      <h1>Queue</h1>
      <span class="soft number" data-total=${open ?? ""}>
        ${open === null ? "" : `${casesFound(open)} ${filtered ? "found" : "open"}`}
      </span>
      <span class="grow"></span>
      <${SearchField}
        value=${query.text ?? ""}
        title="Words, host, address or id"
        focusRef=${search}
        onChange=${(text) => onChange({ ...query, text: text || undefined })}
      />
      <label class="choice">
        <span class="soft">Order</span>
        <select value=${query.order}
          onChange=${(event) => onChange({ ...query, order: event.target.value })}>
          ${Object.entries(ORDERS).map(([value, name]) => html`<option value=${value}>${name}</option>`)}
        </select>
      </label>
    </div>
    <${ActiveFilters} facets=${CASE_FACETS} query=${query} onChange=${onChange} />
  </header>`;
}

/** New cases that these filters let through: counted, and shown when the person wants them. */
function useArrivals(query, key, reloadCounts) {
  const [arrived, setArrived] = useState(() => new Set());
  useEffect(() => {
    setArrived(new Set());
    let timer = 0;
    const countsSoon = () => {
      timer ||= setTimeout(() => {
        timer = 0;
        reloadCounts();
      }, 2000);
    };
    const ends = [
      on("case", ({ change, case: item }) => {
        const { list } = workList.get();
        countsSoon();
        if (change === "decided")
          list?.note(item, { gone: true, held_by: null, queue: item.queue });
        else if (passes(item, query, FILTERS) && list?.placeOf(caseKey(item)) === null) {
          setArrived((before) =>
            before.size < MOST_ARRIVED ? new Set(before).add(caseKey(item)) : before,
          );
        }
      }),
      on("claim", (claim) => workList.get().list?.note(claim, { claimed_by: claim.by })),
      on("held", (held) => workList.get().list?.note(held, { held_by: held.by })),
      onRecovery(() => {
        refreshList(query);
        reloadCounts();
      }),
    ];
    return () => {
      clearTimeout(timer);
      for (const end of ends) end();
    };
  }, [key]);
  return { n: arrived.size, clear: () => setArrived(new Set()) };
}

function Cases({ list, query, onChange, onFresh }) {
  useStore(workList);
  const now = useNow();
  const [cursor, setCursor] = useState(lastSeen.key ? null : place.cursor);
  const [inView, setInView] = useState(false);
  const [chosen, setChosen] = useState(() => new Map());
  const [bulk, setBulk] = useState(false);
  useCursorFocus(cursor, list, inView);
  useKeptScroll(list.total);

  const show = (at) => {
    const inside = Math.max(0, Math.min((list.total ?? 1) - 1, at));
    place.cursor = inside;
    setCursor(inside);
  };
  const moveTo = (next) => {
    lastSeen.key = null;
    show(next);
  };
  useReturn(list, cursor, show);
  const choose = useRef((item) => {
    if (!item || !may("reviewer")) return;
    setChosen((before) => {
      const next = new Map(before);
      if (!next.delete(caseKey(item))) next.set(caseKey(item), item);
      return next;
    });
  }).current;
  const isChosen = (item) => item !== null && chosen.has(caseKey(item));
  const down = () => moveTo(cursor === null ? firstSeen() : cursor + 1);
  const up = () => moveTo(cursor === null ? firstSeen() : cursor - 1);
  useHeldKeys({ j: down, k: up, ArrowDown: down, ArrowUp: up });
  useKeys({
    x: () => choose(cursor === null ? null : list.row(cursor)),
    Enter: () => openAt(list, cursor ?? 0),
    o: () => openAt(list, cursor ?? 0),
    b: () => chosen.size > 0 && setBulk(true),
    Home: () => moveTo(0),
    Escape: () => setChosen(new Map()),
  });

  if (list.error && list.total === null) {
    return html`<${Failure} error=${list.error} onRetry=${onFresh} />`;
  }
  if (list.total === null) return html`<${Loading} what="Loading the cases" />`;
  if (list.total === 0) return html`<${NoCases} query=${query} onChange=${onChange} />`;
  return html`
    ${
      list.error &&
      html`<p class="banner bad" role="alert">
      ${list.error.message}
      <button type="button" class="quiet" onClick=${() => list.loadNext()}>Try again</button>
    </p>`
    }
    <div class="columns" aria-hidden="true">
      <span></span><span>Proposed severity, priority</span><span>Case</span><span>Proposal, risk of error</span>
      <span>Why it is here</span><span class="end">Waits</span>
    </div>
    <${WindowedList}
      total=${list.total}
      name="Open cases"
      busy=${list.loading !== null}
      reveal=${cursor}
      onRange=${(first, last) => {
        list.want(first, last);
        setInView(cursor !== null && first <= cursor && cursor <= last);
      }}
      rowOf=${(at) => html`<${Row}
        item=${list.row(at)}
        place=${at}
        now=${now}
        current=${at === cursor}
        chosen=${isChosen(list.row(at))}
        onChoose=${choose}
        onOpen=${keepCursor}
      />`}
    />
    ${
      chosen.size > 0 &&
      html`<div class="choice-bar" role="region" aria-label="Chosen cases">
      <strong>${casesFound(chosen.size)} chosen</strong>
      <span class="grow"></span>
      <button type="button" class="quiet" onClick=${() => setChosen(new Map())}>Choose none</button>
      <${KeyButton} keyName="B" kind="primary" onClick=${() => setBulk(true)}>Decide together<//>
    </div>`
    }
    ${
      bulk &&
      html`<${BulkDialog}
      cases=${[...chosen.values()]}
      onClose=${() => setBulk(false)}
      onDone=${() => setChosen(new Map())}
    />`
    }
  `;
}

const keepCursor = (at) => {
  place.cursor = at;
};

const firstSeen = () => {
  const rows = [...document.querySelectorAll(".row-place")];
  const seen = rows.find((row) => row.getBoundingClientRect().top > 100);
  return Number(seen?.getAttribute("aria-posinset") ?? 1) - 1;
};

function openAt(list, at) {
  const item = list.row(at);
  if (!item) return;
  place.cursor = at;
  go(caseHref(item));
}

/** Who comes back from a case finds it under the cursor, or what stands in its place now. */
function useReturn(list, cursor, show) {
  useLayoutEffect(() => {
    if (lastSeen.key === null || list.total === null) return;
    const at = list.placeOf(lastSeen.key);
    // A case far down comes with a later page: until then, the place where it was.
    if (at !== null) lastSeen.key = null;
    else if (cursor !== null || lastSeen.at === null) return;
    show(at ?? lastSeen.at);
  });
}

/** The link of the row under the cursor has the focus, so that Enter and screen readers follow. */
function useCursorFocus(cursor, list, inView) {
  const { version } = workList.get();
  const due = useRef(false);
  const moved = [cursor, list.row(cursor ?? 0) === null, version === 0];
  useLayoutEffect(() => {
    due.current = cursor !== null;
  }, moved);
  useLayoutEffect(() => {
    if (!due.current) return;
    // A row that is scrolled to is drawn a moment later.
    const link = document.querySelector(`[data-place="${cursor}"]`);
    if (link) due.current = false;
    if (link && document.activeElement !== link && !document.querySelector("dialog[open]")) {
      const typing = document.activeElement?.matches("input[type=search], select");
      if (!typing) link.focus({ preventScroll: true });
    }
  }, [...moved, inView]);
}

/** Who comes back from a case finds the list where it was. */
function useKeptScroll(total) {
  useLayoutEffect(() => {
    if (total === null) return undefined;
    scrollTo(0, place.scroll);
    const keep = () => {
      place.scroll = scrollY;
    };
    addEventListener("scroll", keep, { passive: true });
    return () => removeEventListener("scroll", keep);
  }, [total === null]);
}

function NoCases({ query, onChange }) {
  const filtered = FILTERS.some((name) => query[name]) || query.text;
  if (filtered) {
    return html`<div class="state">
      <h2>No open case fits these filters</h2>
      <p>
        <button type="button" class="button" onClick=${() => onChange({ order: query.order })}>
          Remove the filters
        </button>
      </p>
    </div>`;
  }
  return html`<${Empty} title="No open cases">
    Nothing waits for a person. New cases appear here by themselves.
  <//>`;
}
