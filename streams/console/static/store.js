// A value that parts of the page can watch.

import { useLayoutEffect, useState } from "./html.js";

export function createStore(initial) {
  let value = initial;
  const watchers = new Set();
  return {
    get: () => value,
    set(next) {
      value = typeof next === "function" ? next(value) : next;
      for (const watcher of [...watchers]) watcher(value);
    },
    subscribe(watcher) {
      watchers.add(watcher);
      return () => watchers.delete(watcher);
    },
  };
}

/** The value of a store. The component is drawn again when it changes. */
export function useStore(store) {
  const [, redraw] = useState(0);
  const drawn = store.get();
  useLayoutEffect(() => {
    const again = () => redraw((n) => n + 1);
    // It may have changed between drawing and watching.
    if (store.get() !== drawn) again();
    return store.subscribe(again);
  }, [store]);
  return drawn;
}

/** A setting that the browser remembers, or that lasts as long as the page if it may not. */
export function rememberedStore(key, initial) {
  let saved = null;
  try {
    saved = localStorage.getItem(key);
  } catch {
    // Storage may be forbidden.
  }
  const store = createStore(saved ?? initial);
  store.subscribe((value) => {
    try {
      localStorage.setItem(key, value);
    } catch {
      // See above.
    }
  });
  return store;
}
