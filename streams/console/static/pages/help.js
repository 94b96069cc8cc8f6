// All keys, on one page.

import { html } from "../html.js";
import { useShortcutsOn } from "../keys.js";
import { Dialog } from "../ui.js";

const GROUPS = {
  "In the queue": [
    ["J or ↓", "the next case of the list"],
    ["K or ↑", "the case before"],
    ["Enter", "open the case"],
    ["X", "tick the case, to decide several together; again: no longer"],
    ["B", "decide the ticked cases together"],
  ],
  "In a case": [
    ["A", "accept the proposal, or decide with your changes"],
    ["1 – 9", "choose an alternative"],
    ["0", "go back to the proposed label"],
    ["X", "go to the next kind of label, such as the severity"],
    ["L", "all labels; type to search one"],
    ["C", "write a comment; Esc leaves the field and keeps the text, Ctrl + Enter decides"],
    ["D", "open the whole document, or close it"],
    ["S", "skip the case for now"],
    ["N, P", "the next case, the case before"],
    ["B", "decide all cases that are alike"],
    ["E", "correct what a person has decided"],
    ["Q or Esc", "back to the queue, at this case"],
  ],
  "In the queue and the stream": [
    ["F", "go to the filters; ↓ and ↑ move, Enter filters, Esc leaves"],
    ["/", "look for words"],
  ],
  "In the stream": [
    ["P", "pause, and go on"],
    ["Q or Esc", "from an event back to the stream"],
  ],
  Everywhere: [
    ["U", "undo the last decision, while its message is shown"],
    ["?", "this list"],
  ],
};

export function HelpDialog({ onClose }) {
  const on = useShortcutsOn();
  return html`<${Dialog} title="Keys" onClose=${onClose}>
    ${!on && html`<p class="banner">Single keys are switched off in the settings.</p>`}
    ${Object.entries(GROUPS).map(
      ([name, keys]) => html`<section key=${name}>
        <h3>${name}</h3>
        <dl class="key-list">
          ${keys.map(([key, what]) => html`<div><dt><kbd>${key}</kbd></dt><dd>${what}</dd></div>`)}
        </dl>
      </section>`,
    )}
  <//>`;
}
