// Single keys that act. They are off while somebody types, and can be switched off for good.

import { useLayoutEffect, useRef } from "./html.js";
import { rememberedStore, useStore } from "./store.js";

export const shortcuts = rememberedStore("triage.shortcuts", "on");

const TYPING = "input:not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable]";

function name(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return "";
  // On a keyboard of another script, the key with the same place acts.
  const place = /^Key([A-Z])$/.exec(event.code);
  if (place && /^[^\u0020-\u007e]$/u.test(event.key)) return place[1].toLowerCase();
  return event.key.length === 1 ? event.key.toLowerCase() : event.key;
}

/** Call `actions[key]()` when that key is pressed on the page. */
export function useKeys(actions, { active = true } = {}) {
  const current = useRef(actions);
  current.current = actions;
  // Before the page is painted: a key that somebody sees printed must act.
  useLayoutEffect(() => {
    if (!active) return undefined;
    const press = (event) => {
      if (event.defaultPrevented || shortcuts.get() === "off") return;
      if (event.target.closest?.(TYPING) || document.querySelector("dialog[open]")) return;
      const key = name(event);
      // Enter and the space bar belong to the button or link that has the focus.
      if ((key === "Enter" || key === " ") && event.target.closest?.("a, button, summary, input")) {
        return;
      }
      const action = Object.hasOwn(current.current, key) ? current.current[key] : null;
      if (!action || event.repeat) return;
      event.preventDefault();
      action();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, [active]);
}

/** Keys that may be held down, such as those that move through a list. */
export function useHeldKeys(actions) {
  const current = useRef(actions);
  current.current = actions;
  useLayoutEffect(() => {
    const press = (event) => {
      if (event.defaultPrevented || shortcuts.get() === "off") return;
      if (event.target.closest?.(TYPING) || document.querySelector("dialog[open]")) return;
      const key = name(event);
      const action = Object.hasOwn(current.current, key) ? current.current[key] : null;
      if (!action) return;
      event.preventDefault();
      action();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, []);
}

export const useShortcutsOn = () => useStore(shortcuts) === "on";
