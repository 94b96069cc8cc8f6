// The frame around every page: who is signed in, where one can go, and whether the server answers.

import { sentence as asSentence, plural } from "./format.js";
import {
  html,
  render,
  useEffect,
  useErrorBoundary,
  useLayoutEffect,
  useRef,
  useState,
} from "./html.js";
import { loadSession, may, session, signOut } from "./api.js";
import { tellRefused } from "./decide.js";
import { shortcuts, useKeys } from "./keys.js";
import { connection, on, retryNow, start, stop } from "./live.js";
import { Notices, notify } from "./notices.js";
import { CasePage } from "./pages/case.js";
import { HelpDialog } from "./pages/help.js";
import { QueuePage } from "./pages/queue.js";
import { SignInPage } from "./pages/signin.js";
import { go, hrefOf, route } from "./router.js";
import { rememberedStore, useStore } from "./store.js";
import { plain } from "./text.js";
import { Announcer, announce, Empty, Failure, Key, Loading } from "./ui.js";

/** Pages that not everybody opens are loaded when they are. */
const lazily = (load, name) => {
  let component = null;
  return function Lazy(props) {
    const [, loaded] = useState(0);
    const [error, setError] = useState(null);
    useEffect(() => {
      if (component) return;
      load().then(
        (module) => {
          component = module[name];
          loaded(1);
        },
        () => setError(new Error("This page could not be loaded. Load the console again.")),
      );
    }, []);
    if (error) return html`<${Failure} error=${error} onRetry=${() => location.reload()} />`;
    return component ? html`<${component} ...${props} />` : html`<${Loading} />`;
  };
};

const PAGES = {
  queue: { title: "Queue", component: QueuePage },
  case: { title: "Case", component: CasePage, under: "queue" },
  stream: { title: "Stream", component: lazily(() => import("./pages/stream.js"), "StreamPage") },
  event: {
    title: "Event",
    component: lazily(() => import("./pages/event.js"), "EventPage"),
    under: "stream",
  },
  "dead-letters": {
    title: "Dead letters",
    component: lazily(() => import("./pages/deadletters.js"), "DeadLettersPage"),
  },
  figures: {
    title: "Figures",
    component: lazily(() => import("./pages/figures.js"), "FiguresPage"),
  },
};

const MENU = ["queue", "stream", "dead-letters", "figures"];

const theme = rememberedStore("triage.theme", "system");
theme.subscribe((value) => {
  if (value === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = value;
});

function App() {
  const person = useStore(session);
  const [error, setError] = useState(null);
  const load = () => {
    setError(null);
    loadSession().catch(setError);
  };
  useEffect(load, []);
  useEffect(() => {
    if (person) start();
    else stop();
  }, [Boolean(person)]);
  let page = html`<main id="main" class="page"><${Loading} what="Loading the console" /></main>`;
  if (error)
    page = html`<main id="main" class="page"><${Failure} error=${error} onRetry=${load} /></main>`;
  else if (person === null) page = html`<${SignInPage} />`;
  else if (person) page = html`<${Page} />`;
  return html`
    <a class="skip" href="#main" onClick=${skipToMain}>Skip to the content</a>
    <${Top} person=${person} />
    ${person && html`<${ConnectionBanner} />`}
    ${person && html`<${Notices} />`}
    ${page}
    <${Announcer} />
  `;
}

function skipToMain(event) {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

function Page() {
  const { page, parts } = useStore(route);
  const main = useRef(null);
  const first = useRef(true);
  const [help, setHelp] = useState(false);
  const known = Object.hasOwn(PAGES, page) ? PAGES[page] : null;
  const where = JSON.stringify([page, parts]);
  useKeys({ "?": () => setHelp(true) });
  useEffect(() => on("refused", tellRefused), []);
  useLayoutEffect(() => {
    document.title = `${known?.title ?? "Not found"} – triage`;
    if (first.current) {
      first.current = false;
      return;
    }
    if (page !== "queue") scrollTo(0, 0);
    main.current.focus({ preventScroll: true });
    // A case and an event say their title themselves, once they have it.
    if (!known?.under) announce(known?.title ?? "Not found");
  }, [where]);
  return html`<main id="main" class=${`page page-${page}`} tabindex="-1" ref=${main}>
    <${Guard} key=${where}>
      ${
        known
          ? html`<${known.component} parts=${parts} />`
          : html`<${Empty} title="There is no such page"><a href="#/queue">Go to the queue</a><//>`
      }
    <//>
    ${help && html`<${HelpDialog} onClose=${() => setHelp(false)} />`}
  </main>`;
}

/** A fault of one page does not take the others along. */
function Guard({ children }) {
  const [error, reset] = useErrorBoundary((problem) => console.error(problem));
  if (!error) return children;
  const said = new Error("This page has a fault of its own. Other pages still work.");
  return html`<${Failure} error=${said} onRetry=${reset} />`;
}

function Top({ person }) {
  const { page } = useStore(route);
  const at = PAGES[page]?.under ?? page;
  return html`<header class="top">
    <a class="brand" href="#/queue">triage</a>
    ${
      person &&
      html`<nav aria-label="Pages">
      ${MENU.map(
        (name) => html`<a
          href=${hrefOf(name)}
          aria-current=${name === at ? "page" : undefined}
        >${PAGES[name].title}</a>`,
      )}
    </nav>`
    }
    <span class="grow"></span>
    ${person && html`<${ConnectionState} />`}
    <${Settings} person=${person} />
  </header>`;
}

function ConnectionState() {
  const { state, broker } = useStore(connection);
  let kind = "wait";
  let text = "Connecting";
  if (state === "retrying") text = "Offline";
  else if (state === "live" && broker === "away") text = "Kafka away";
  else if (state === "live") [kind, text] = ["live", "Live"];
  if (state === "retrying" || broker === "away") kind = "lost";
  return html`<span class=${`connection ${kind}`} data-connection=${kind}>
    <span class="connection-dot" aria-hidden="true"></span>${text}
  </span>`;
}

/** What is wrong with the connection, in words, for as long as it is wrong. */
function ConnectionBanner() {
  const { state, broker, sentence, nextTryAt, waiting } = useStore(connection);
  const lost = state === "retrying";
  const away = state === "live" && broker === "away";
  const was = useRef(false);
  useEffect(() => {
    if (was.current && !lost && !away) notify("The connection is back.", { kind: "good" });
    was.current = lost || (was.current && state === "connecting") || away;
  }, [lost, away, state]);
  if (lost) {
    return html`<div class="banner-top bad" role="status">
      The console's server does not answer. What you see may be old.
      <${TryAgainIn} at=${nextTryAt} />
      <button type="button" class="quiet" onClick=${retryNow}>Try now</button>
    </div>`;
  }
  if (away) {
    return html`<div class="banner-top bad" role="status">
      ${asSentence(plain(sentence || "Kafka does not answer."))} What you see may be old; the console goes on by
      itself when Kafka is back.${waiting > 0 ? ` ${plural(waiting, "decision waits", "decisions wait")} to be sent.` : ""}
    </div>`;
  }
  return null;
}

function TryAgainIn({ at }) {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 500);
    return () => clearInterval(timer);
  }, []);
  const left = Math.ceil(((at ?? 0) - now) / 1000);
  return html`<span class="number"
    aria-hidden="true">${left > 0 ? `Trying again in ${left} s.` : "Trying again …"}</span>`;
}

function Settings({ person }) {
  const chosen = useStore(theme);
  const keysOn = useStore(shortcuts) === "on";
  const menu = useRef(null);
  useEffect(() => {
    const close = (event) => {
      if (!menu.current?.open) return;
      const inside = menu.current.contains(event.target);
      if (event.type === "keydown" ? event.key === "Escape" : !inside) {
        if (event.type === "keydown") menu.current.querySelector("summary").focus();
        menu.current.open = false;
      }
    };
    addEventListener("pointerdown", close);
    addEventListener("keydown", close);
    return () => {
      removeEventListener("pointerdown", close);
      removeEventListener("keydown", close);
    };
  }, []);
  return html`<details class="menu" ref=${menu}>
    <summary>${person ? plain(person.name) : "Settings"}</summary>
    <div class="menu-body">
      ${
        person &&
        html`<p class="soft small">
        ${`Role: ${person.role}. `}
        ${person.tenants ? `Tenants: ${person.tenants.map(plain).join(", ")}.` : "All tenants."}
      </p>`
      }
      <label class="choice">
        <span>Colours</span>
        <select value=${chosen} onChange=${(event) => theme.set(event.target.value)}>
          <option value="system">as the system</option>
          <option value="light">light</option>
          <option value="dark">dark</option>
        </select>
      </label>
      <label class="check">
        <input type="checkbox" checked=${keysOn}
          onChange=${() => shortcuts.set(keysOn ? "off" : "on")} />
        <span>Single keys act (<${Key} name="?" /> lists them)</span>
      </label>
      ${
        person?.auth !== "open" &&
        person &&
        html`<button type="button" class="button" onClick=${() => signOut()}>Sign out</button>`
      }
    </div>
  </details>`;
}

render(html`<${App} />`, document.getElementById("app"));
