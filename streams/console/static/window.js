// A list of any length of which only the rows near the window exist.

import { html, useEffect, useLayoutEffect, useRef, useState } from "./html.js";

const MARGIN_ROWS = 12;

/**
 * `rowOf(place)` gives the content of a row. `onRange(first, last)` is told what is near the
 * window. `reveal` is a place to scroll to, when it changes.
 */
export function WindowedList({ total, rowOf, onRange, reveal, name, busy }) {
  const list = useRef(null);
  const [view, setView] = useState({ first: 0, last: 40, height: 56 });

  useLayoutEffect(() => {
    const element = list.current;
    let waiting = 0;
    const measure = () => {
      waiting = 0;
      const height = rowHeight(element);
      const top = -element.getBoundingClientRect().top;
      const first = Math.max(0, Math.floor(top / height) - MARGIN_ROWS);
      const last = Math.max(0, Math.ceil((top + innerHeight) / height) + MARGIN_ROWS);
      setView((before) =>
        before.first === first && before.last === last && before.height === height
          ? before
          : { first, last, height },
      );
    };
    const soon = () => {
      waiting ||= requestAnimationFrame(measure);
    };
    measure();
    addEventListener("scroll", soon, { passive: true });
    addEventListener("resize", soon);
    return () => {
      cancelAnimationFrame(waiting);
      removeEventListener("scroll", soon);
      removeEventListener("resize", soon);
    };
  }, []);

  const last = Math.min(view.last, total - 1);
  const first = Math.min(view.first, Math.max(0, last));
  useEffect(() => {
    if (last >= first) onRange(first, last);
  }, [first, last, total]);

  useLayoutEffect(() => {
    if (reveal === null || reveal === undefined) return;
    const box = list.current.getBoundingClientRect();
    const top = box.top + reveal * view.height;
    const headroom = 120;
    if (top < headroom) scrollBy(0, top - headroom);
    else if (top + view.height > innerHeight - 90) {
      scrollBy(0, top + view.height - innerHeight + 90);
    }
  }, [reveal]);

  const rows = [];
  for (let place = first; place <= last; place += 1) {
    rows.push(
      html`<li
        key=${place}
        class="row-place"
        style=${{ transform: `translateY(${place * view.height}px)` }}
        aria-setsize=${total}
        aria-posinset=${place + 1}
      >
        ${rowOf(place)}
      </li>`,
    );
  }
  return html`<ul
    ref=${list}
    class="windowed"
    aria-label=${name}
    aria-busy=${busy ? "true" : "false"}
    style=${{ height: `${total * view.height}px` }}
  >
    ${rows}
  </ul>`;
}

// The height of a row is said in CSS, in rem, and so grows with the text of the browser.
function rowHeight(element) {
  const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
  return Math.round(parseFloat(getComputedStyle(element).getPropertyValue("--row")) * rem) || 56;
}
