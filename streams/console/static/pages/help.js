// All keys, on one page.

import { html } from "../html.js";
import { useShortcutsOn } from "../keys.js";
import { Dialog } from "../ui.js";

const GROUPS = {
  "In the queue": [
    ["J or ↓", "the next case of the list"],
    ["K or ↑", "the case before"],
    ["Enter", "open the case"],
    ["X", "choose the case, or no longer"],
    ["B", "decide the chosen cases together"],
    ["/", "look for words"],
  ],
  "In a case": [
    ["A", "accept the proposal, or decide with your changes"],
    ["1 – 9", "choose an alternative"],
    ["0", "go back to the proposed label"],
    ["X", "go to the next axis"],
    ["L", "type to search a label"],
    ["C", "write a comment; Ctrl and Enter decides from there"],
    ["S", "skip the case for now"],
    ["N, P", "the next case, the case before"],
    ["B", "decide all cases that are alike"],
    ["Q or Esc", "back to the queue"],
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
