// The document of an event: folded, and searched by its paths and values.

import { html, useMemo, useState } from "./html.js";
import { count, plural } from "./format.js";
import { useKeys } from "./keys.js";
import { Inline, Passage, plain } from "./text.js";
import { isWide, Key } from "./ui.js";

const MOST_LEAVES = 20_000;
const MOST_FOUND = 200;
const CHILDREN_SHOWN = 100;
const DEEPEST = 60;

const FEW_FIELDS = 12;
const MOST_UNFOLDED = 500;

/**
 * The document in a fold of its own; the key D opens all of it, or closes it. Of a very large one,
 * D opens the upper levels. `alone`: there are few words beside it, so it stands open.
 */
export function FoldedDocument({ document: root, alone }) {
  // Folding so few fields would only hide them.
  const [few, short] = useMemo(() => {
    const leaves = leavesOf(root);
    const nested = leaves.filter(([, , depth]) => depth > 1);
    return [nested.length <= FEW_FIELDS, leaves.length <= FEW_FIELDS];
  }, [root]);
  const [open, setOpen] = useState((alone || short) && isWide());
  const [whole, setWhole] = useState(few);
  const toggle = () => {
    const next = !(open && whole);
    setOpen(next);
    setWhole(next || few);
  };
  useKeys({ d: toggle });
  return html`<details class="panel fold" open=${open}
    onToggle=${(event) => setOpen(event.currentTarget.open)}>
    <summary><h2>Document</h2> <${Key} name="D" /></summary>
    <${DocumentView} document=${root} name="the document" whole=${whole} />
  </details>`;
}

export function DocumentView({ document: root, name, whole = false }) {
  const [words, setWords] = useState("");
  const leaves = useMemo(() => leavesOf(root), [root]);
  const unfolded = whole && leaves.length <= MOST_UNFOLDED;
  const wanted = words.trim().toLowerCase();
  return html`<div class="document">
    <div class="line">
      <label class="search small">
        <span class="unseen-text">Search in ${name}</span>
        <input
          type="search"
          placeholder="Search fields and values"
          value=${words}
          onInput=${(event) => setWords(event.target.value)}
        />
      </label>
      <span class="soft small">${fieldsOf(leaves)}</span>
    </div>
    ${
      wanted
        ? html`<${Found} leaves=${leaves} wanted=${wanted} />`
        : html`<div class="tree" key=${String(unfolded)}><${Children} value=${root} depth=${0}
          unfolded=${unfolded} /></div>`
    }
  </div>`;
}

const fieldsOf = ({ length }) =>
  length === MOST_LEAVES ? `${count(length)} fields or more` : plural(length, "field", "fields");

/** [path, value as text, depth from 1] of every leaf, at most `MOST_LEAVES`. */
function leavesOf(root) {
  const leaves = [];
  const open = [["", root, 0]];
  while (open.length > 0 && leaves.length < MOST_LEAVES) {
    const [path, value, depth] = open.pop();
    if (value !== null && typeof value === "object") {
      const children = Object.entries(value).map(([name, child]) => [
        path ? `${path}.${name}` : name,
        child,
        depth + 1,
      ]);
      for (const child of children.reverse()) open.push(child);
    } else leaves.push([path, String(value), depth]);
  }
  return leaves;
}

function Found({ leaves, wanted }) {
  const found = leaves.filter(
    ([path, value]) => path.toLowerCase().includes(wanted) || value.toLowerCase().includes(wanted),
  );
  if (found.length === 0) return html`<p class="soft" role="status">No field has these words.</p>`;
  return html`<p class="soft small" role="status">
      ${count(found.length)} found${found.length > MOST_FOUND ? `, the first ${MOST_FOUND} shown` : ""}
    </p>
    <dl class="leaves">
      ${found.slice(0, MOST_FOUND).map(
        ([path, value]) => html`<div>
          <dt><${Inline} text=${path} /></dt>
          <dd><${Inline} text=${value.length > 1000 ? `${value.slice(0, 999)}…` : value} /></dd>
        </div>`,
      )}
    </dl>`;
}

function Children({ value, depth, unfolded }) {
  const [shown, setShown] = useState(CHILDREN_SHOWN);
  const entries = Object.entries(value ?? {});
  if (depth > DEEPEST) return html`<p class="soft">Nested too deeply to be shown.</p>`;
  return html`<ul>
    ${entries
      .slice(0, shown)
      .map(
        ([name, child]) =>
          html`<li key=${name}><${Node} name=${name} value=${child} depth=${depth}
            unfolded=${unfolded} /></li>`,
      )}
    ${
      entries.length > shown &&
      html`<li>
      <button type="button" class="quiet" onClick=${() => setShown(shown + CHILDREN_SHOWN)}>
        Show more of ${count(entries.length)}
      </button>
    </li>`
    }
  </ul>`;
}

function Node({ name, value, depth, unfolded }) {
  const [open, setOpen] = useState(unfolded || depth < 1);
  if (value === null || typeof value !== "object")
    return html`<${Leaf} name=${name} value=${value} />`;
  const size = Object.keys(value).length;
  const what = Array.isArray(value) ? `${size} in a list` : plural(size, "field", "fields");
  return html`<details open=${open} onToggle=${(event) => setOpen(event.currentTarget.open)}>
    <summary><span class="field"><${Inline} text=${name} /></span> <span
      class="soft small">${what}</span></summary>
    ${open && html`<${Children} value=${value} depth=${depth + 1} unfolded=${unfolded} />`}
  </details>`;
}

function Leaf({ name, value }) {
  const text = String(value);
  const long = text.length > 300 || text.includes("\n");
  return html`<span class="leaf">
    <span class="field"><${Inline} text=${name} /></span>
    ${
      long
        ? html`<${Passage} text=${text} name=${plain(name)} />`
        : html`<span class=${`value ${typeof value}`}><${Inline} text=${text} /></span>`
    }
  </span>`;
}
