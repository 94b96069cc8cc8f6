// The open cases in the order of a query. The server gives them in pages behind cursors; here they
// can be asked for by their place, and pages that are far from what is seen are forgotten again.

import { get } from "./api.js";
import { facetOf } from "./format.js";
import { createStore } from "./store.js";

const PAGE = 250;
const MOST_PAGES = 25;
const PAUSE_MS = 1000;

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export const caseKey = (item) => JSON.stringify([item.domain, item.tenant, item.id]);

export class CaseList {
  /** `query`: the filters and the order. `onChange` is called when rows or the total change. */
  constructor(query, onChange) {
    this.query = query;
    this.onChange = onChange;
    this.total = null;
    this.error = null;
    this.pages = new Map();
    this.cursors = [null];
    this.places = new Map();
    this.done = new Map();
    this.changed = false;
    this.wanted = [0, 0];
    this.loading = null;
    this.controller = new AbortController();
  }

  close() {
    this.controller.abort();
  }

  /** The case at this place, with what happened to it since, or null while it is not here. */
  row(place) {
    return this.pages.get(Math.floor(place / PAGE))?.[place % PAGE] ?? null;
  }

  /**
   * Note what happened to a case since its page was read: a claim, a decision. Nothing is kept of
   * cases that are not here: all day long, others decide many.
   */
  note(item, change) {
    const place = this.placeOf(caseKey(item));
    const before = place === null ? null : this.row(place);
    if (!before) return;
    const after = { ...before, ...change };
    this.pages.get(Math.floor(place / PAGE))[place % PAGE] = after;
    this.mark(after, before);
    this.changed = true;
    this.onChange();
  }

  /** How many cases still wait: without those that are decided, or just about to be. */
  get open() {
    return this.total === null ? null : Math.max(0, this.total - this.done.size);
  }

  /** Remember that a case no longer waits, as it was before (`row`), and since when. */
  mark(item, row = item) {
    const key = caseKey(item);
    if (!item.gone && !item.held_by) this.done.delete(key);
    else {
      const known = this.done.get(key);
      const goneAt = item.gone ? (known?.goneAt ?? Date.now()) : null;
      this.done.set(key, { row: known?.row ?? row, goneAt });
    }
  }

  /** Counts that the server gave at `askedAt`, without the cases that it did not know as decided. */
  waiting(counts, askedAt) {
    if (!counts) return counts;
    const left = Object.fromEntries(
      Object.entries(counts).map(([name, values]) => [name, { ...values }]),
    );
    for (const { row, goneAt } of this.done.values()) {
      if (goneAt !== null && goneAt < askedAt) continue;
      for (const [name, values] of Object.entries(left)) {
        const value = facetOf(row, name);
        if (values[value] > 0) values[value] -= 1;
      }
    }
    return left;
  }

  /** Load what is needed to show the places from `first` to `last`. */
  want(first, last) {
    this.wanted = [Math.floor(first / PAGE), Math.floor(Math.max(first, last) / PAGE)];
    if (this.loading === null && this.missingPage() !== null) this.loading = this.loadWanted();
  }

  /** Wait until what is wanted is here, or cannot be loaded. */
  async settled() {
    await this.loading;
  }

  async loadWanted() {
    for (let page = this.missingPage(); page !== null; ) {
      try {
        await this.load(page);
        this.error = null;
      } catch (error) {
        if (this.controller.signal.aborted) return;
        if (error.status === 429) await pause(PAUSE_MS);
        else this.error = error;
      }
      if (this.controller.signal.aborted) return;
      page = this.error ? null : this.missingPage();
      if (page === null) this.loading = null;
      this.onChange();
    }
  }

  /** The page to load now: one that is wanted, or the next on the way to it. */
  missingPage() {
    const end = this.total === null ? 0 : Math.ceil(this.total / PAGE) - 1;
    for (let page = this.wanted[0]; page <= Math.min(this.wanted[1], end); page += 1) {
      if (this.pages.has(page)) continue;
      return page < this.cursors.length ? page : this.cursors.length - 1;
    }
    return null;
  }

  async load(page) {
    const answer = await get(
      "cases",
      { ...this.query, limit: PAGE, after: this.cursors[page] },
      this.controller.signal,
    );
    this.pages.set(page, answer.cases);
    answer.cases.forEach((item, at) => {
      this.places.set(caseKey(item), page * PAGE + at);
      this.mark(item);
    });
    if (page === 0 || this.total === null) this.total = answer.total;
    if (answer.next === null || answer.cases.length < PAGE) {
      this.total = page * PAGE + answer.cases.length;
    } else if (page === this.cursors.length - 1) {
      this.cursors.push(answer.next);
    }
    this.forgetFarPages();
  }

  forgetFarPages() {
    if (this.pages.size <= MOST_PAGES) return;
    const middle = (this.wanted[0] + this.wanted[1]) / 2;
    const byDistance = [...this.pages.keys()].sort(
      (a, b) => Math.abs(b - middle) - Math.abs(a - middle),
    );
    for (const page of byDistance.slice(0, this.pages.size - MOST_PAGES)) {
      for (const item of this.pages.get(page)) this.places.delete(caseKey(item));
      this.pages.delete(page);
    }
  }

  /** The next place after `place` whose case still waits, or null if none is known. */
  nextOpen(place, skipped = new Set()) {
    for (let next = place + 1; next < (this.total ?? 0); next += 1) {
      const item = this.row(next);
      if (!item) return null;
      if (!item.gone && !item.held_by && !skipped.has(caseKey(item))) return next;
    }
    return null;
  }

  /** Whether nothing behind this place is still to be loaded. */
  endsBehind(place) {
    for (let next = place + 1; next < (this.total ?? 0); next += 1) {
      if (!this.row(next)) return false;
    }
    return true;
  }

  /** Where the case of this key is in the list, or null if that is not known. */
  placeOf(key) {
    return this.places.get(key) ?? null;
  }
}

/** The list that people work through: the page of a case takes its next one from here. */
export const workList = createStore({ list: null, version: 0, query: {} });

/** The case that the person looked at last: its key, and its place in the list at that time. */
export const lastSeen = { key: null, at: null };

/** Cases that the person has skipped since the page was opened. */
export const skipped = new Set();

/** Work through the cases of this query, from a fresh list or from the one that is there. */
export function openList(query, { fresh = false } = {}) {
  const now = workList.get();
  if (!fresh && now.list && JSON.stringify(now.query) === JSON.stringify(query)) return now.list;
  now.list?.close();
  const list = new CaseList(query, () =>
    workList.set((state) => ({ ...state, version: state.version + 1 })),
  );
  workList.set({ list, version: 0, query });
  list.want(0, PAGE - 1);
  return list;
}

/**
 * Read the list of this query anew, and show what is there until the new one has its first page:
 * rows that vanish for a moment take the click away that was meant for them.
 */
export function refreshList(query) {
  const old = workList.get().list;
  if (!old || old.total === null || JSON.stringify(workList.get().query) !== JSON.stringify(query)) {
    openList(query, { fresh: true });
    return;
  }
  const list = new CaseList(query, () => {
    const now = workList.get();
    if (now.list === list) workList.set({ ...now, version: now.version + 1 });
    else if (now.list !== old || list.total === null) list.close();
    else {
      old.close();
      workList.set({ list, version: 0, query });
    }
  });
  list.want(0, PAGE - 1);
}
