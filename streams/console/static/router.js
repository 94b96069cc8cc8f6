// Pages are fragments of one address (#/queue?domain=alerts), so the server needs no rule for them
// and a proxy may put any path in front.

import { createStore } from "./store.js";

export const route = createStore(parse(location.hash));

addEventListener("hashchange", () => route.set(parse(location.hash)));

function parse(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const parts = path.split("/").filter(Boolean).map(decode);
  return { page: parts[0] || "queue", parts: parts.slice(1), query: readQuery(query) };
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

// Without a prototype: a name such as __proto__ in an address is a name like any other.
function readQuery(text) {
  const query = Object.create(null);
  for (const [name, value] of new URLSearchParams(text)) query[name] = value;
  return query;
}

/** The address of a page: `hrefOf("case", ["alerts", "acme", "a/1"])`. */
export function hrefOf(page, parts = [], query = {}) {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value) search.set(name, value);
  const text = search.toString();
  return `#/${[page, ...parts].map(encodeURIComponent).join("/")}${text ? `?${text}` : ""}`;
}

/** The filters of the stream when it was seen last, for the way back to it. */
export const streamPlace = { query: {} };

export const caseHref = (item) => hrefOf("case", [item.domain, item.tenant, item.id]);

export function go(href) {
  location.hash = href;
}

/** Change the address without a new entry in the history: a filter is not a page. */
export function replaceQuery(page, query) {
  history.replaceState(null, "", hrefOf(page, route.get().parts, query));
  route.set(parse(location.hash));
}
