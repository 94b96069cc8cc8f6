// The one place that knows which front-end library the pages use.
//
// `html` makes elements from a tagged template. Every value becomes a text node or a property,
// never markup: nothing of an event can become an element.

import { Component, Fragment, h, render } from "./vendor/preact-11.2.0/preact.js";
import htm from "./vendor/htm-3.1.1/htm.js";

export const html = htm.bind(h);
export { Fragment, render };

/** A component that is drawn again only if one of its properties is another. */
export const memo = (draw) =>
  class extends Component {
    shouldComponentUpdate(next) {
      return Object.keys(next).some((name) => next[name] !== this.props[name]);
    }

    render(props) {
      return draw(props);
    }
  };

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
