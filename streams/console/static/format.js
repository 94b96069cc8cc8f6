// Numbers, instants and the words of records, as people read them.

const whole = new Intl.NumberFormat("en");
const clock = new Intl.DateTimeFormat("en-GB", {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });

export const count = (n) => (Number.isFinite(n) ? whole.format(n) : "–");

/** 0.3141 is "31 %". Only 1 is "100 %", and only 0 is "0 %". */
export function percent(ratio) {
  if (!Number.isFinite(ratio)) return "–";
  const value = ratio * 100;
  if (value <= 0 || value >= 100) return `${Math.round(value)} %`;
  if (value < 0.1) return "< 0.1 %";
  if (value > 99.9) return "> 99.9 %";
  return value < 10 || value > 99 ? `${value.toFixed(1)} %` : `${Math.round(value)} %`;
}

export function money(usd) {
  if (!Number.isFinite(usd)) return "–";
  return `$${usd < 1 && usd > 0 ? usd.toFixed(4) : usd.toFixed(2)}`;
}

export function seconds(value) {
  if (!Number.isFinite(value)) return "–";
  if (value < 0.001) return `${(value * 1e6).toFixed(0)} µs`;
  if (value < 1) return `${(value * 1000).toFixed(value < 0.01 ? 1 : 0)} ms`;
  return value < 120 ? `${value.toFixed(1)} s` : span(value);
}

/** A time in the coarsest unit that fits: "4 min". */
export function span(s) {
  if (!Number.isFinite(s)) return "–";
  if (s < 60) return `${Math.max(0, Math.floor(s))} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 48 * 3600) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86400)} d`;
}

export function age(instant, now = Date.now()) {
  const at = Date.parse(instant ?? "");
  return Number.isNaN(at) ? "–" : span((now - at) / 1000);
}

export function time(instant) {
  const at = new Date(instant ?? Number.NaN);
  return Number.isNaN(at.getTime()) ? "–" : clock.format(at);
}

export function dateTime(instant) {
  const at = new Date(instant ?? Number.NaN);
  return Number.isNaN(at.getTime()) ? "–" : `${day.format(at)}, ${clock.format(at)}`;
}

const WORDS = {
  alerts: "Alerts",
  tickets: "Tickets",
  rule: "Rule",
  slm: "Small model",
  llm: "LLM",
  human: "Person",
  final: "Final",
  provisional: "Provisional",
  needs_review: "Needs review",
  risk: "Unsure",
  unfamiliar: "Unfamiliar",
  uncalibrated: "No promise",
  promise_broken: "Promise broken",
  high_impact: "High impact",
  spot_check: "Spot check",
};

/** Our word for a value that records carry: "spot_check" is "Spot check". */
export const word = (value) =>
  Object.hasOwn(WORDS, value ?? "") ? WORDS[value] : String(value ?? "–");

/** A label as people read it: "lateral_movement" is "lateral movement". */
export const label = (value) => String(value ?? "–").replaceAll("_", " ");

/** The value by which a case is filtered and counted: tickets have a priority for a severity. */
export const facetOf = (item, name) =>
  name === "severity" ? (item.severity ?? item.priority) : item[name];

export const plural = (n, one, many) => `${count(n)} ${n === 1 ? one : many}`;

/** {severity: "critical"} or "critical": the word that the sender used, or "". */
export function statedWord(stated) {
  if (!stated) return "";
  if (typeof stated === "string") return stated;
  return stated.severity ?? stated.priority ?? "";
}

/** What the server says, as a sentence: it begins small, and may have no full stop. */
export function sentence(text) {
  const said = String(text ?? "").trim();
  if (!said) return "";
  const end = /[.!?…]$/.test(said) ? "" : ".";
  return said[0].toUpperCase() + said.slice(1) + end;
}
