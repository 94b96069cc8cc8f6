// Plots in the colours of the page, each with the same numbers as a table.

import { html, useEffect, useLayoutEffect, useRef, useState } from "./html.js";
import uPlot from "./vendor/uplot-1.6.32/uplot.js";

const HEIGHT = 200;

// The stylesheet of the library is needed only where there is a plot.
const sheet = document.createElement("link");
sheet.rel = "stylesheet";
sheet.href = new URL("./vendor/uplot-1.6.32/uplot.css", import.meta.url).pathname;
document.head.append(sheet);

/** How the lines of one plot differ: by dash and strength, since there is one accent. */
const STYLES = [
  { width: 2, dash: [] },
  { width: 2, dash: [6, 4] },
  { width: 1.5, dash: [2, 3] },
  { width: 1.5, dash: [10, 3, 2, 3] },
];

const MARKERS = ["solid", "dashed", "dotted", "dashed"];

/** The colours of the theme as a canvas takes them. */
function colours(element) {
  const style = getComputedStyle(element);
  const probe = document.createElement("span");
  element.append(probe);
  const read = (name) => {
    probe.style.color = style.getPropertyValue(name);
    return getComputedStyle(probe).color;
  };
  const found = Object.fromEntries(
    ["accent", "soft", "line", "ink", "bad"].map((name) => [name, read(`--${name}`)]),
  );
  probe.remove();
  return found;
}

/** A number that changes when the theme does, so that a canvas is drawn again. */
function useTheme() {
  const [n, setN] = useState(0);
  useEffect(() => {
    const changed = () => setN((before) => before + 1);
    const media = matchMedia("(prefers-color-scheme: dark)");
    const observer = new MutationObserver(changed);
    observer.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    media.addEventListener("change", changed);
    return () => {
      observer.disconnect();
      media.removeEventListener("change", changed);
    };
  }, []);
  return n;
}

/**
 * `columns`: [x, ...series] as arrays of numbers. `series`: [{name, kind, tone}], with the kind
 * "line", "bars" or "steps".
 * `x`, `y`: {time, name, format, log, range, whole}. `marks`: [{y|x, tone}] are drawn as lines.
 */
export function Plot({ columns, series, x, y, marks = [], name, height = HEIGHT }) {
  const place = useRef(null);
  const theme = useTheme();
  const key = JSON.stringify([columns, series, marks]);
  useLayoutEffect(() => {
    const element = place.current;
    const plot = new uPlot(
      options({ element, series, x, y, marks, height, colour: colours(element) }),
      columns,
      element,
    );
    // The canvas says nothing to a screen reader; the table beside it does.
    plot.root.querySelector(".u-wrap")?.setAttribute("aria-hidden", "true");
    const observer = new ResizeObserver(() => {
      const width = Math.floor(element.clientWidth);
      if (width > 0 && width !== plot.width) plot.setSize({ width, height });
    });
    observer.observe(element);
    return () => {
      observer.disconnect();
      plot.destroy();
    };
  }, [key, theme]);
  return html`<div class="plot" ref=${place} role="img"
    aria-label=${`Plot: ${name}. The same numbers are in the table below.`}></div>`;
}

/** Steps of an axis that counts: there is no half decision. */
const WHOLE = Array.from({ length: 10 }, (_, at) => [1, 2, 5].map((n) => n * 10 ** at)).flat();

function options({ element, series, x, y, marks, height, colour }) {
  const font = `12px ${getComputedStyle(element).fontFamily}`;
  const axis = {
    stroke: colour.soft,
    font,
    grid: { stroke: colour.line, width: 1 },
    ticks: { show: false },
    border: { show: false },
    gap: 6,
  };
  return {
    width: Math.max(200, Math.floor(element.clientWidth)),
    height,
    padding: [12, 24, 0, 0],
    cursor: { y: false, drag: { setScale: false }, points: { size: 7 } },
    legend: {
      live: true,
      markers: { dash: (_, at) => MARKERS[series[at - 1]?.kind ? 0 : at - 1] },
    },
    scales: {
      x: { time: Boolean(x.time), range: x.range },
      y: { distr: y.log ? 3 : 1, range: y.range },
    },
    axes: [
      {
        ...axis,
        grid: { show: false },
        size: x.time ? 46 : 32,
        values: x.time ? CLOCK : (_, at) => at.map(x.format),
      },
      {
        ...axis,
        grid: { ...axis.grid, show: !y.log },
        size: 58,
        ...(y.whole ? { incrs: WHOLE } : {}),
        values: (_, at) => at.map((value) => (value === null ? "" : y.format(value))),
      },
    ],
    series: [
      {
        label: x.name,
        value: x.time ? "{YYYY}-{MM}-{DD} {HH}:{mm}" : (_, value) => said(x, value),
      },
      ...series.map((one, at) => lineOf(one, at, y, colour)),
    ],
    hooks: { draw: [(plot) => drawMarks(plot, marks, colour)] },
  };
}

const said = ({ format }, value) => (value === null || value === undefined ? "–" : format(value));

// A clock of 24 hours, with the day where it changes.
const CLOCK = [
  [86400, "{D} {MMM}", null, null, null, null, null, null, 1],
  [60, "{HH}:{mm}", "\n{D} {MMM}", null, "\n{D} {MMM}", null, null, null, 1],
  [1, "{HH}:{mm}:{ss}", "\n{D} {MMM}", null, "\n{D} {MMM}", null, null, null, 1],
];

function lineOf(one, at, y, colour) {
  const stroke = colour[one.tone ?? "accent"];
  const style = STYLES[(one.style ?? at) % STYLES.length];
  const shared = { label: one.name, stroke, value: (_, value) => said(y, value) };
  if (one.kind === "bars") {
    const fill = stroke.replace("rgb(", "rgba(").replace(")", `, ${one.strength ?? 0.85})`);
    return {
      ...shared,
      fill,
      width: 0,
      points: { show: false },
      paths: uPlot.paths.bars({ size: [0.9, 60], align: 1 }),
    };
  }
  if (one.kind === "steps") {
    return {
      ...shared,
      width: 2,
      points: { show: false },
      paths: uPlot.paths.stepped({ align: 1 }),
    };
  }
  // Curves that are known at different places are drawn over each other's gaps.
  return {
    ...shared,
    ...style,
    spanGaps: true,
    points: { show: Boolean(one.points), size: 6, fill: stroke },
  };
}

function drawMarks(plot, marks, colour) {
  const { ctx, bbox } = plot;
  ctx.save();
  for (const mark of marks) {
    ctx.strokeStyle = colour[mark.tone ?? "bad"];
    ctx.lineWidth = devicePixelRatio * 1.5;
    ctx.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
    ctx.beginPath();
    if (mark.y !== undefined) {
      const at = plot.valToPos(mark.y, "y", true);
      ctx.moveTo(bbox.left, at);
      ctx.lineTo(bbox.left + bbox.width, at);
    } else {
      const at = plot.valToPos(mark.x, "x", true);
      ctx.moveTo(at, bbox.top);
      ctx.lineTo(at, bbox.top + bbox.height);
    }
    ctx.stroke();
  }
  ctx.restore();
}

/** A plot with what it means, and its numbers as a table. `rows` are arrays of texts. */
export function Figure({ title, meaning, note, heads, rows, broad = false, children }) {
  return html`<figure class=${`panel figure ${broad ? "broad" : ""}`}>
    <figcaption>
      <h2>${title}</h2>
      <p>${meaning}</p>
    </figcaption>
    ${note ? html`<p class="banner">${note}</p>` : children}
    ${!note && rows?.length > 0 && html`<${Numbers} title=${title} heads=${heads} rows=${rows} />`}
  </figure>`;
}

function Numbers({ title, heads, rows }) {
  const [open, setOpen] = useState(false);
  return html`<details class="fold small" onToggle=${(event) => setOpen(event.currentTarget.open)}>
    <summary>The numbers as a table</summary>
    ${
      open &&
      html`<div class="scroll-x" tabindex="0" role="region" aria-label=${`Numbers: ${title}`}>
      <table class="lines">
        <caption class="unseen-text">${title}</caption>
        <thead><tr>${heads.map((head) => html`<th scope="col">${head}</th>`)}</tr></thead>
        <tbody>
          ${rows.map(
            ([first, ...rest]) => html`<tr>
              <th scope="row">${first}</th>
              ${rest.map((cell) => html`<td class="number">${cell}</td>`)}
            </tr>`,
          )}
        </tbody>
      </table>
    </div>`
    }
  </details>`;
}
