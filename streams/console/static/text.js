// Event text on a page. Strangers wrote it, so it is only ever a text node, in an element of its
// own direction, with every character shown that would otherwise act and not be seen.

import { Fragment, html, useState } from "./html.js";
import { count } from "./format.js";

// Controls without tab and line feed; the marks that change direction; characters of no width
// except the two joiners that Persian, Hindi and emoji need; line separators; tags; lone halves.
const UNSEEN =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\u{e0000}-\u{e007f}]/gu;

const CONTROLS = (
  "NUL SOH STX ETX EOT ENQ ACK BEL BS HT LF VT FF CR SO SI " +
  "DLE DC1 DC2 DC3 DC4 NAK SYN ETB CAN EM SUB ESC FS GS RS US"
).split(" ");

const NAMES = {
  0x7f: "DEL",
  0x00ad: "SHY",
  0x061c: "ALM",
  0x200b: "ZWSP",
  0x200e: "LRM",
  0x200f: "RLM",
  0x2028: "LS",
  0x2029: "PS",
  0x202a: "LRE",
  0x202b: "RLE",
  0x202c: "PDF",
  0x202d: "LRO",
  0x202e: "RLO",
  0x2060: "WJ",
  0x2066: "LRI",
  0x2067: "RLI",
  0x2068: "FSI",
  0x2069: "PDI",
  0xfeff: "BOM",
};

const MOST_MARKS = 500;
const CUT_CHARS = 4000;

/** What stands for a character that would not be seen: "ESC", "RLO", "U+E0041". */
export function nameOf(character) {
  const code = character.codePointAt(0);
  const name = CONTROLS[code] ?? NAMES[code];
  return name ?? `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
}

/** The text with names for what is not seen, as one string: for titles of pages and labels. */
export const plain = (text) =>
  String(text ?? "")
    .replace(/\r\n/g, "\n")
    .replace(UNSEEN, (character) => `⟨${nameOf(character)}⟩`);

/** Strings and marks in turn. A text full of unseen characters becomes one string. */
function pieces(text) {
  const source = String(text ?? "").replace(/\r\n/g, "\n");
  const marks = source.match(UNSEEN)?.length ?? 0;
  if (marks === 0) return [source];
  if (marks > MOST_MARKS) return [plain(source)];
  const parts = [];
  let end = 0;
  for (const match of source.matchAll(UNSEEN)) {
    if (match.index > end) parts.push(source.slice(end, match.index));
    const shown = nameOf(match[0]);
    parts.push(html`<span class="unseen" title="A character that is not seen">${shown}</span>`);
    end = match.index + match[0].length;
  }
  if (end < source.length) parts.push(source.slice(end));
  return parts;
}

/** A short piece of event text inside a line. */
export const Inline = ({ text, className = "" }) =>
  html`<bdi class=${`foreign ${className}`}>${pieces(String(text ?? "").slice(0, 1000))}</bdi>`;

/** A long piece of event text. More than some thousand characters are shown only when asked for. */
export function Passage({ text, name, words }) {
  const [all, showAll] = useState(false);
  const whole = String(text ?? "");
  const cut = !all && whole.length > CUT_CHARS;
  const shown = cut ? endOfCharacter(whole.slice(0, CUT_CHARS)) : whole;
  return html`<${Fragment}>
    <div class="passage foreign" dir="auto" data-passage=${name}>${
      words && !all ? emphasized(shown, words) : pieces(shown)
    }${cut ? "…" : ""}</div>
    ${
      cut &&
      html`<p class="cut-note">
      <span>The first ${count(CUT_CHARS)} of ${count(whole.length)} characters.</span>
      <button type="button" class="quiet" onClick=${() => showAll(true)}>Show all</button>
    </p>`
    }
  <//>`;
}

function endOfCharacter(text) {
  const last = text.charCodeAt(text.length - 1);
  return last >= 0xd800 && last <= 0xdbff ? text.slice(0, -1) : text;
}

const MOST_EMPHASES = 200;

/** The words that weighed for the proposal, marked in the text. */
function emphasized(text, words) {
  const wanted = words.map(String).filter((one) => /[\p{L}\p{N}]{2}/u.test(one));
  if (wanted.length === 0) return pieces(text);
  const escaped = wanted.map((one) => one.trim().replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const pattern = new RegExp(
    `(?<![\\p{L}\\p{N}])(?:${escaped.join("|")})(?![\\p{L}\\p{N}])`,
    "giu",
  );
  const parts = [];
  let end = 0;
  for (const match of text.matchAll(pattern)) {
    if (parts.length > MOST_EMPHASES || match[0].length === 0) break;
    parts.push(...pieces(text.slice(end, match.index)));
    parts.push(html`<mark class="weighed">${pieces(match[0])}</mark>`);
    end = match.index + match[0].length;
  }
  parts.push(...pieces(text.slice(end)));
  return parts;
}

/** A link to the sender, if it is one that may be followed; its text says where it leads. */
export function OutsideLink({ href, children = "Open at the sender" }) {
  const address = outside(href);
  if (!address) return href ? html`<span class="soft">No safe link</span>` : null;
  return html`<a class="outside" href=${address.href} target="_blank" rel="noopener noreferrer">
    ${children} <span class="host">${plain(address.host)}</span></a>`;
}

export function outside(href) {
  try {
    const address = new URL(String(href));
    const web = address.protocol === "https:" || address.protocol === "http:";
    return web && !address.username && !address.password ? address : null;
  } catch {
    return null;
  }
}
