// Records that could not be processed, why, and sending them again: first only as a try.

import { html, useEffect, useState } from "../html.js";
import { may, post } from "../api.js";
import { count, dateTime, plural } from "../format.js";
import { onRecovery } from "../live.js";
import { notify } from "../notices.js";
import { replaceQuery, route } from "../router.js";
import { useStore } from "../store.js";
import { Inline, plain } from "../text.js";
import { Empty, Failure, Loading, Tag, useAsked } from "../ui.js";

const SHOWN = 200;

export function DeadLettersPage() {
  const { stage } = useStore(route).query;
  const asked = useAsked("deadletters", { query: { stage, limit: SHOWN } });
  useEffect(() => onRecovery(asked.reload), []);
  const choose = (next) => replaceQuery("dead-letters", { stage: next });
  const { data } = asked;
  return html`
    <header class="list-head">
      <div class="line">
        <h1>Dead letters</h1>
        ${data && html`<span class="soft number">${plural(data.total, "record", "records")}</span>`}
        <span class="grow"></span>
        <button type="button" class="button" onClick=${asked.reload}>Read again</button>
      </div>
      <p class="soft">Records that could not be processed. They are kept with their bytes, and can
        be sent again.</p>
    </header>
    ${asked.error && html`<${Failure} error=${asked.error} onRetry=${asked.reload} />`}
    ${!data && asked.loading && html`<${Loading} what="Reading the dead letters" />`}
    ${
      data &&
      data.letters.length === 0 &&
      data.reasons.length === 0 &&
      html`<${Empty} title="No dead letters">
      Everything that came could be processed.
    <//>`
    }
    ${
      data &&
      (data.letters.length > 0 || data.reasons.length > 0) &&
      html`
      <section class="panel scroll-x">
        <h2>Reasons</h2>
        <${Reasons} reasons=${data.reasons} stage=${stage} onChoose=${choose} />
      </section>
      ${
        may("admin")
          ? html`<${Replay} key=${stage} stage=${stage} onDone=${asked.reload} />`
          : html`<p class="note">An admin can send dead letters again.</p>`
      }
      <section class="panel scroll-x">
        <h2>${stage ? `Records of the stage ${plain(stage)}` : "Records"}</h2>
        <${Letters} letters=${data.letters} />
        ${data.truncated && html`<p class="note">Only the newest are shown.</p>`}
      </section>
    `
    }
  `;
}

function Reasons({ reasons, stage, onChoose }) {
  return html`<table class="lines">
    <thead>
      <tr>
        <th scope="col">Stage</th><th scope="col">Error</th><th scope="col">Topic</th>
        <th scope="col">Sending again</th><th scope="col" class="number">Records</th>
      </tr>
    </thead>
    <tbody>
      ${reasons.map(
        (one) => html`<tr key=${`${one.stage} ${one.error} ${one.topic} ${one.disposition}`}>
          <td>
            <button
              type="button"
              class="quiet flush"
              aria-pressed=${one.stage === stage ? "true" : "false"}
              onClick=${() => onChoose(one.stage === stage ? undefined : one.stage)}
            ><${Inline} text=${one.stage} /></button>
            ${one.stage === stage && html`<span class="soft small">only these</span>`}
          </td>
          <td><${Inline} text=${one.error} /></td>
          <td class="mono"><${Inline} text=${one.topic} /></td>
          <td><${Disposition} value=${one.disposition} /></td>
          <td class="number">${count(one.count)}</td>
        </tr>`,
      )}
    </tbody>
  </table>`;
}

const Disposition = ({ value }) =>
  value === "retryable"
    ? html`<${Tag} kind="good">may succeed<//>`
    : html`<${Tag} kind="bad">cannot succeed<//>`;

function Replay({ stage, onDone }) {
  const [poison, setPoison] = useState(false);
  const [limit, setLimit] = useState(1000);
  const [tried, setTried] = useState(null);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState("");
  const send = async (dryRun) => {
    setBusy(true);
    setError("");
    try {
      const body = { stage: stage ?? null, poison, limit, dry_run: dryRun };
      const answer = await post("deadletters/replay", body);
      if (dryRun) setTried(answer);
      else {
        setTried(null);
        notify(`${plural(answer.replayed, "record was", "records were")} sent again.`, {
          kind: "good",
        });
        onDone();
      }
    } catch (problem) {
      setError(problem.message);
    } finally {
      setBusy(false);
    }
  };
  const edit = (change) => {
    change();
    setTried(null);
  };
  return html`<section class="panel">
    <h2>Send again</h2>
    <div class="replay">
      <p>
        ${stage ? html`Records of the stage <strong>${plain(stage)}</strong>.` : "Records of all stages."}
      </p>
      <label class="choice">
        <span>At most</span>
        <input
          type="text"
          inputmode="numeric"
          size="6"
          value=${limit}
          onInput=${(event) => edit(() => setLimit(Math.max(1, parseInt(event.target.value, 10) || 1)))}
        />
      </label>
      <label class="check">
        <input type="checkbox" checked=${poison} onChange=${() => edit(() => setPoison(!poison))} />
        <span>also those that cannot succeed</span>
      </label>
      <button type="button" class="button" data-action="dry-run" disabled=${busy}
        onClick=${() => send(true)}>
        Try without sending
      </button>
      <button
        type="button"
        class="button primary"
        data-action="replay"
        disabled=${busy || !tried || tried.replayed === 0}
        onClick=${() => send(false)}
      >
        ${tried ? `Send ${count(tried.replayed)} again` : "Send again"}
      </button>
    </div>
    ${!tried && !error && html`<p class="note">Try it first: nothing is sent, and you see what would be.</p>`}
    ${
      tried &&
      html`<p class="banner" role="status">
      ${plural(tried.replayed, "record", "records")} would be sent
      (${
        Object.entries(tried.topics)
          .map(([topic, n]) => `${count(n)} to ${plain(topic)}`)
          .join(", ") || "to no topic"
      }). ${plural(tried.left, "record stays", "records stay")}.
    </p>`
    }
    ${error && html`<p class="banner bad" role="alert">${error}</p>`}
  </section>`;
}

function Letters({ letters }) {
  if (letters.length === 0) return html`<p class="soft">No record is of this kind.</p>`;
  return html`<table class="lines">
    <thead>
      <tr>
        <th scope="col">When</th><th scope="col">Where it came from</th><th scope="col">Why</th>
        <th scope="col">Sending again</th>
      </tr>
    </thead>
    <tbody>
      ${letters.map(
        (one) => html`<tr key=${one.place} class="letter">
          <td class="when">${dateTime(one.at)}</td>
          <td class="mono"><${Inline} text=${one.original_place ?? one.topic} /></td>
          <td>
            ${one.title && html`<p><strong><${Inline} text=${one.title} /></strong></p>`}
            <p><${Inline} text=${one.message} /></p>
            <p class="soft small"><${Inline} text=${one.stage} /> · <${Inline} text=${one.error}
              /></p>
            ${
              one.preview &&
              html`<details class="small"><summary>Its beginning</summary>
              <pre class="foreign">${plain(one.preview).slice(0, 4000)}</pre></details>`
            }
          </td>
          <td><${Disposition} value=${one.disposition} /></td>
        </tr>`,
      )}
    </tbody>
  </table>`;
}
