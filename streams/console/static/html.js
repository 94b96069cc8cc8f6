// The one place that knows which front-end library the pages use.
//
// `html` makes elements from a tagged template. Every value becomes a text node or a property,
// never markup: nothing of an event can become an element.

import { Fragment, h, render } from "./vendor/preact-11.2.0/preact.js";
import htm from "./vendor/htm-3.1.1/htm.js";

export const html = htm.bind(h);
export { Fragment, render };
export {
  useCallback,
  useEffect,
  useErrorBoundary,
  useId,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
} from "./vendor/preact-11.2.0/preact-hooks.js";
