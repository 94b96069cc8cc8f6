"""Deciding in the console: a real Chromium, the real server, and a view of cases in memory."""

import json
import time
from pathlib import Path
from statistics import median

import pytest

from tests.chromium import NEEDS_CHROMIUM, Page
from tests.console_client import TOKENS
from tests.console_pages import PAGES, Console, Start, five_cases, report_status, sent
from tests.console_world import World
from tests.figures import FIGURES
from tests.patience import until

ROOT = Path(__file__).parents[2]
PAGES_OF_DOCS = (ROOT / "docs" / "console" / "README.md").read_text()
MANIFEST = ROOT / "inference" / "models" / "default" / "manifest.json"
INTENTS = json.loads(MANIFEST.read_text())["domains"]["tickets"]["axes"]["intent"]["labels"]

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(300),
    NEEDS_CHROMIUM,
]


async def sees_case(page: Page, title: str) -> None:
    """Wait for the case whose title has these words."""
    await page.until(f"document.querySelector('.case h1')?.innerText.includes({json.dumps(title)})")


async def search_label(page: Page, letters: str) -> None:
    """Open the search for a label, and press these letters."""
    await page.press("l")
    await page.until("document.activeElement?.getAttribute('role') === 'combobox'")
    await page.press(*letters)


async def choose_found(page: Page, label: str) -> None:
    """Choose the first label that the search has found; it must be this one."""
    await page.press("Enter")
    await page.until(f"document.querySelector('[data-value={label}][aria-pressed=true]')")


async def test_the_queue_shows_the_riskiest_case_first_and_filters(start: Start) -> None:
    """A filter that hides the wrong cases makes people miss an alert."""
    console = await start(five_cases)
    page = await console.page()
    await page.sees("5 cases open")
    titles = await page.texts(".row-title a")
    assert titles[0] == "Port scan from host 17"
    assert titles[-1] == "Card is lost"
    await page.click("[data-facet=domain][data-value=tickets]")
    await page.sees("1 case found")
    assert await page.texts(".row-title a") == ["Card is lost"]
    assert "domain=tickets" in await page.ask("location.hash")
    await page.click("[data-facet=domain][data-value=tickets]")
    await page.sees("5 cases open")
    await page.click("[data-facet=severity][data-value=low]")
    await page.sees("1 case found")
    assert await page.texts(".row-title a") == ["Card is lost"]
    assert "not known" in (await page.texts(".row-risk"))[0]
    await page.click("[data-facet=severity][data-value=low]")
    await page.sees("5 cases open")
    await page.press("/")
    await page.type("invoice")
    await page.sees("1 case found")
    assert await page.texts(".row-title a") == ["Strange mail"]
    await page.type(" nowhere")
    await page.sees("No open case fits these filters")
    await page.click("main .state button")
    await page.sees("5 cases open")
    assert page.problems == []


async def test_cases_are_decided_with_the_keyboard_alone(start: Start) -> None:
    """Who triages all day must not need the mouse: one key accepts, two choose an alternative."""
    console = await start(five_cases)
    page = await console.page()
    await page.sees("5 cases open")
    await page.press("j", "Enter")
    await sees_case(page, "host 17")
    await page.press("a")
    await sees_case(page, "host 18")
    await page.press("1", "a")
    await sees_case(page, "host 19")
    await search_label(page, "netw")
    await page.until("document.querySelectorAll('[role=option]').length === 1")
    await choose_found(page, "network")
    await page.press("a")
    await sees_case(page, "Strange mail")
    await page.press("s")
    await sees_case(page, "Card is lost")
    await until(lambda: len(console.world.sent) == 3)
    queues = {id_: labels["queue"] for id_, labels in sent(console)}
    assert queues == {"one": "endpoint", "two": "cloud", "three": "network"}
    assert page.problems == []


LETTERS = """(all => import(MODULE).then(({search}) =>
  all.map(wanted => {
    const words = wanted.value.toLowerCase().replaceAll('_', ' ');
    for (let most = 1; most <= words.length; most += 1) {
      for (let at = 0; at + most <= words.length; at += 1) {
        if (at > 0 && words[at - 1] !== ' ') continue;
        if (search(all, words.slice(at, at + most))[0] === wanted) return most;
      }
    }
    return Infinity;
  })))"""
"""How many letters find each label, from the beginning of the best of its words."""


async def test_the_keys_of_a_decision_are_as_many_as_the_docs_say(start: Start) -> None:
    """People who choose a tool by its keys would be told too few."""
    row = next(line for line in PAGES_OF_DOCS.splitlines() if line.startswith("| this console"))
    accept, other, of_many = [int(cell.split()[0]) for cell in row.split("|")[2:5]]
    console = await start(five_cases)
    page = await console.page(where=PAGES["case"])
    await page.sees("Accept proposal")
    await page.ask("window.keys = 0; addEventListener('keydown', () => { keys += 1; }, true)")
    await page.press("a")
    await sees_case(page, "host 18")
    assert await page.ask("keys") == accept
    await page.press("1", "a")
    await sees_case(page, "host 19")
    assert await page.ask("keys") == accept + other
    await search_label(page, "ne")
    await page.until("document.querySelectorAll('[role=option]')[0].innerText.includes('network')")
    await choose_found(page, "network")
    await page.press("a")
    await sees_case(page, "Strange mail")
    around = await page.ask("keys") - accept - other - len("ne")
    await until(lambda: len(console.world.sent) == 3)
    assert [labels["queue"] for _, labels in sent(console)] == ["endpoint", "cloud", "network"]
    (script,) = await page.ask(
        "performance.getEntriesByType('resource').map(one => one.name)"
        ".filter(name => name.endsWith('labelsearch.js'))"
    )
    labels = [{"axis": "intent", "value": value, "description": None} for value in INTENTS]
    found = LETTERS.replace("MODULE", json.dumps(script))
    letters = await page.ask(f"{found}({json.dumps(labels)})")
    FIGURES.append(
        f"console: letters that find one of {len(INTENTS)} labels: half {median(letters)} or "
        f"fewer, at most {max(letters)}"
    )
    assert around + median(letters) == of_many
    assert f"at most {max(letters)} letters" in PAGES_OF_DOCS


async def test_keys_act_on_keyboards_of_other_scripts(start: Start) -> None:
    """Who has a Cyrillic keyboard presses the key where A is, and means the button with A."""
    console = await start(five_cases)
    page = await console.page(where=PAGES["case"])
    await page.sees("Accept proposal")
    await page.ask(
        "document.dispatchEvent(new KeyboardEvent('keydown',"
        " {key: '\u0444', code: 'KeyA', bubbles: true}))"
    )
    await until(lambda: len(console.world.sent) == 1)


# Whether the message about a decision lies over the text of the next case.
COVERED = """(() => {
  const [a, b] = ['.notices', '.words'].map(
    name => document.querySelector(name).getBoundingClientRect());
  return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
})()"""


async def test_a_decision_is_undone_within_ten_seconds(start: Start) -> None:
    """A slip of the finger must not become what a model learns from."""
    console = await start(five_cases, hold_s=10)
    page = await console.page(where=PAGES["case"])
    await page.sees("Accept proposal")
    await page.press("a")
    await page.sees("Undo")
    for width in (1280, 800, 390):
        await page.resize(width, 800)
        await page.until(f"!({COVERED})")
    await page.press("u")
    await page.sees("Undone")
    await sees_case(page, "host 17")
    await page.press("q")
    await page.sees("5 cases open")
    assert console.world.sent == []


async def test_many_are_decided_at_once_after_a_preview(start: Start) -> None:
    """What a bulk decision will touch must be seen, and can be narrowed, before it is sent."""
    console = await start(five_cases)
    page = await console.page()
    await page.sees("5 cases open")
    await page.press("j", "x", "j", "x", "j", "x")
    await page.sees("3 cases chosen")
    await page.press("b")
    await page.sees("Decide 3 cases")
    assert await page.count("dialog tbody tr") == 3
    assert console.world.sent == []
    await page.click("dialog tbody tr:nth-child(3) input")
    await page.sees("Decide 2 cases")
    await page.ask(
        "(s => { s.value = 'network'; s.dispatchEvent(new Event('change', {bubbles: true})); })"
        "(document.querySelector('dialog select'))"
    )
    await page.until(
        "[...document.querySelectorAll('dialog tbody strong')]"
        ".every(each => each.innerText === 'network')"
    )
    await page.click("[data-action=decide-all]")
    await until(lambda: len(console.world.sent) == 2)
    assert sorted(sent(console)) == [("one", {"queue": "network"}), ("two", {"queue": "network"})]


async def test_cases_that_are_alike_are_decided_with_the_open_one(start: Start) -> None:
    """The same alert a hundred times must not be a hundred decisions."""
    console = await start(five_cases)
    page = await console.page(where=PAGES["case"])
    await page.sees("Decide with")
    await page.press("2", "b")
    await page.until("document.querySelectorAll('dialog tr[data-case]').length === 2")
    await page.click("[data-action=decide-all]")
    await until(lambda: len(console.world.sent) == 2)
    assert {id_ for id_, _ in sent(console)} == {"one", "two"}
    assert {labels["queue"] for _, labels in sent(console)} == {"identity"}


async def test_cases_that_are_only_near_are_decided_if_somebody_ticks_them(start: Start) -> None:
    """Nearly the same words are another case: nobody may decide it without having seen it."""

    def fill(world: World) -> None:
        five_cases(world)
        world.add("near", title="The port scan from a host", source="firewall")
        world.add("near too", title="Port scan from a host", source="firewall")

    console = await start(fill)
    page = await console.page(where=PAGES["case"])
    await page.sees("Decide with 1 more case alike")
    await page.press("b")
    await page.sees("The same: 1 case")
    await page.sees("Only near: 2 cases")
    ticked = "document.querySelectorAll('dialog tr[data-case] input:checked').length"
    assert await page.ask(ticked) == 2
    await page.sees("Decide 2 cases")
    await page.click("[data-action=tick-near]")
    await page.sees("Decide 4 cases")
    await page.click("[data-case='near too'] input")
    await page.sees("Decide 3 cases")
    await page.click("[data-action=decide-all]")
    await until(lambda: len(console.world.sent) == 3)
    assert {id_ for id_, _ in sent(console)} == {"one", "two", "near"}


async def test_a_double_click_decides_one_case(start: Start) -> None:
    """The second click would accept the next case, which nobody has read."""
    console = await start(five_cases, hold_s=0)
    page = await console.page(where=PAGES["case"])
    button = "document.querySelector('.decide .primary')"
    await page.until(f"{button} && !{button}.disabled")
    for clicks in (1, 2):
        box = await page.ask(
            f"(b => [b.x + b.width / 2, b.y + b.height / 2])({button}.getBoundingClientRect())"
        )
        where = {"x": box[0], "y": box[1], "button": "left", "clickCount": clicks}
        await page.call("Input.dispatchMouseEvent", type="mousePressed", **where)
        await page.call("Input.dispatchMouseEvent", type="mouseReleased", **where)
        await page.until(
            "document.querySelector('.case h1')?.innerText.includes('host 18')"
            f" && {button} && !{button}.disabled"
        )
    await page.press("s")  # what the second click had sent would be there before this
    await page.sees("Skipped")
    assert [id_ for id_, _ in sent(console)] == ["one"]


async def test_who_is_too_late_to_undo_is_told(start: Start) -> None:
    """The button would go away under the mouse, and the person think that it was undone."""
    console = await start(five_cases, hold_s=1)
    page = await console.page(where=PAGES["case"])
    await page.sees("Accept proposal")
    await page.press("a")
    await page.sees("Too late to undo")
    assert [id_ for id_, _ in sent(console)] == ["one"]


async def test_two_people_on_one_case_are_told_of_each_other(start: Start) -> None:
    """The first decision stands. The second person is told who was faster, and loses nothing."""
    console = await start(five_cases, hold_s=10)
    rae = await console.page("rae", PAGES["case"])
    await rae.sees("Accept proposal")
    abe = await console.page("abe", PAGES["case"])
    await abe.sees("rae is looking at this case too")
    queue = await console.page("abe")
    await queue.sees("rae is looking at it")
    await abe.press("1")
    await rae.press("a")
    await sees_case(rae, "host 18")
    await abe.sees("rae has just decided this case")
    await abe.press("a")
    await abe.sees("was a little faster")
    assert "host 17" in await abe.ask("document.querySelector('.case h1').innerText")


async def test_a_decision_of_another_person_is_overruled_only_on_purpose(start: Start) -> None:
    """A key that is pressed a moment too late must not replace what somebody else decided."""
    console = await start(five_cases, hold_s=0)
    abe = await console.page("abe", PAGES["case"])
    await abe.sees("Accept proposal")
    await abe.press("1")
    rae = await console.page("rae", PAGES["case"])
    await rae.sees("Accept proposal")
    await rae.press("a")
    await abe.sees("A person has decided this case")
    await abe.press("a")
    await abe.press("e", "2")
    await abe.until("document.querySelector('.actions .primary')?.innerText.startsWith('Correct')")
    assert len(console.world.sent) == 1
    await abe.press("a")
    await until(lambda: len(console.world.sent) == 2)
    correction = console.world.sent[-1]
    assert (correction.labels["queue"], correction.about, correction.by) == ("identity", 1, "abe")


async def rae_decides(console: Console, id_: str) -> None:
    """Somebody decides an alert elsewhere."""
    known = await console.world.find(id_, domain="alerts", tenant="acme")
    assert known is not None
    console.world.decide(known.current, "rae", {"queue": "cloud"})


async def test_a_decision_of_long_ago_is_corrected_from_the_page_of_its_event(
    start: Start,
) -> None:
    """The queue no longer has it, and who noticed the mistake late could not mend it."""
    console = await start(five_cases, hold_s=0)
    await rae_decides(console, "one")
    abe = await console.page("abe", PAGES["event"])
    await abe.sees("by a person")
    assert (await abe.texts(".history p:last-child"))[-1] == "decided by rae"
    await abe.click(".deciding a")
    await abe.sees("A person has decided this case")
    await abe.press("e", "2", "a")
    await until(lambda: len(console.world.sent) == 1)
    assert console.world.sent[0].about == 1
    await sees_case(abe, "host 18")
    await abe.ask(f"location.hash = '{PAGES['case']}'")
    await abe.sees("people disagree")
    viewer = await console.page("vic", PAGES["event"])
    await viewer.sees("Open it as a case")
    assert await viewer.texts(".deciding a") == ["Open it as a case"]


# Answers to these questions of the page wait until the test lets them come.
HOLD_ANSWERS = """((asked) => {
    const real = window.fetch;
    const until = new Promise((resolve) => (window.letThemCome = resolve));
    window.fetch = async (address, ...rest) => {
        const answer = await real(address, ...rest);
        if (asked.test(address)) {
            window.answered = true;
            await until;
        }
        return answer;
    };
})"""


async def test_the_next_case_comes_although_the_list_was_slow(start: Start) -> None:
    """Who decides before the list is here would be told that no other case waits."""
    console = await start(five_cases, hold_s=0)
    page = await console.page(where=PAGES["stream"])
    await page.ask(HOLD_ANSWERS + "(/[/]cases[?]/)")
    await page.ask(f"location.hash = '{PAGES['case']}'")
    await page.sees("Accept proposal")
    await page.press("a")
    await until(lambda: len(console.world.sent) == 1)
    await page.sees("Decided: ")
    assert await page.ask("location.hash") == PAGES["case"]
    await page.ask("window.letThemCome()")
    await sees_case(page, "host 18")
    assert not await page.ask("document.body.innerText.includes('That was the last case')")


@pytest.mark.parametrize("ahead", [False, True], ids=["asked for now", "loaded ahead"])
async def test_what_is_decided_while_a_case_is_loaded_is_shown(start: Start, ahead: bool) -> None:
    """People would work on a case that somebody else has decided already."""
    console = await start(five_cases, hold_s=0)
    page = await console.page(where=PAGES["stream"])
    await page.ask(HOLD_ANSWERS + "(/[/]cases[/]alerts[/]acme[/]two$/)")
    if ahead:
        await page.ask("window.letThemCome()")
    await page.ask(f"location.hash = '#/case/alerts/acme/{'one' if ahead else 'two'}'")
    await page.until("window.answered")
    await rae_decides(console, "two")
    # What comes after the decision is here, so the decision is here, too.
    report_status(console.world, "away")
    await page.until("document.querySelector('[data-connection=lost]')")
    if ahead:
        await page.press("n")
    else:
        await page.ask("window.letThemCome()")
    await page.until("location.hash.endsWith('two')")
    await page.sees("A person has decided this case")


async def test_the_page_of_an_event_shows_what_is_decided_meanwhile(start: Start) -> None:
    """Who looks at it would take an old proposal for what stands."""
    console = await start(five_cases, hold_s=0)
    page = await console.page(where=PAGES["event"])
    await page.sees("Proposal")
    await rae_decides(console, "one")
    await page.sees("decided by rae")
    # What the person has not decided is not said to be decided.
    said = [text.split("\n") for text in await page.texts(".deciding .facts-table dd")]
    assert said == [["cloud", "by a person"], ["informational", "only proposed"]]


async def test_q_leads_from_an_event_back_to_the_stream_as_it_was(start: Start) -> None:
    """Who looks at one event after the other would filter anew each time."""
    console = await start(five_cases)
    page = await console.page(where="#/stream?domain=tickets")
    await page.click(".feed-row a")
    await page.sees("Back to the stream")
    await page.press("q")
    await page.until("location.hash === '#/stream?domain=tickets'")


async def test_an_event_that_the_model_decided_can_be_corrected(start: Start) -> None:
    """Its mistake would stay, and who opens it would believe that somebody has asked them to."""
    console = await start(lambda world: world.accept("sure", title="A mistake"))
    page = await console.page(where="#/stream")
    await page.click(".feed-row a")
    await page.sees("Open it as a case, to correct it")
    await page.click(".deciding a")
    await page.sees("It does not wait for a person. It was decided by: Small model.")
    await page.press("1", "a")
    await until(
        lambda: sent(console) == [("sure", {"queue": "cloud", "severity": "informational"})]
    )


async def test_what_a_person_decides_is_in_the_feed_at_once(start: Start) -> None:
    """The stream is live: what it does not show, nobody believes."""
    console = await start(five_cases, hold_s=0)
    stream = await console.page("abe", PAGES["stream"])
    await stream.until("document.querySelectorAll('.feed-row').length === 5")
    page = await console.page("rae", PAGES["case"])
    await page.sees("Accept proposal")
    started_s = time.perf_counter()
    await page.press("a")
    await stream.until(
        "[...document.querySelectorAll('.feed-row')].some(row => row.innerText.includes('Person'))"
    )
    FIGURES.append(
        f"console: a verdict is in the feed after {time.perf_counter() - started_s:.2f} s"
    )
    console.world.accept("by itself")
    await stream.sees("Small model")
    await stream.click("[data-facet=decided_by][data-value=human]")
    await stream.until("document.querySelectorAll('.feed-row').length === 1")
    await stream.press("p")
    console.world.accept("unseen while paused")
    await stream.sees("paused")
    assert stream.problems == []


async def test_a_wrong_token_is_refused_in_a_sentence(start: Start) -> None:
    """Who mistypes a token must learn that, and a stranger must learn nothing else."""
    console = await start(five_cases)
    page = await console.browser.new_page()
    await page.open(f"{console.url}/#/figures")
    await page.until("document.activeElement?.name === 'token'")
    await page.type("not a token")
    await page.press("Enter")
    await page.until("document.querySelector('[role=alert]')?.innerText.length > 10")
    assert await page.count("nav a") == 0
    await page.type(TOKENS["vic"])
    await page.press("Enter")
    await page.sees("How it is going")


async def test_a_viewer_looks_and_does_not_decide(start: Start) -> None:
    """A role that only the buttons know of is none: the server must refuse as well."""
    console = await start(five_cases)
    page = await console.page("vic", PAGES["case"])
    await page.sees("your role is viewer")
    assert await page.count(".actions") == 0
    await page.press("1", "a", "b")
    answer = await page.ask(
        "fetch('api/v1/session').then(r => r.json()).then(({csrf}) => fetch('api/v1/verdicts',"
        " {method: 'POST', headers: {'Content-Type': 'application/json', 'X-CSRF-Token': csrf},"
        " body: JSON.stringify({verdicts: [{id: 'one', domain: 'alerts', tenant: 'acme',"
        " labels: {queue: 'cloud'}}]})})).then(r => r.status)"
    )
    assert answer == 403
    assert console.world.sent == []
    await page.press("q")
    await page.sees("5 cases open")
    assert await page.count(".row-choose input") == 0


async def test_who_comes_back_finds_the_case_that_they_left(start: Start) -> None:
    """At the top of a long list, people would look for their case each time they come back."""

    def fill(world: World) -> None:
        for number in range(60):
            world.add(f"n{number:02}", title=f"case {number:02}", risk=0.9 - number / 100)

    console = await start(fill, hold_s=10)
    page = await console.page()
    await page.sees("60 cases open")
    left = (
        "document.querySelector('.case-row.current a')?.innerText === 'case {0}'"
        " && document.activeElement.innerText === 'case {0}'"
        " && (b => b.top > 48 && b.bottom < innerHeight)"
        "(document.querySelector('.case-row.current').getBoundingClientRect())"
    )
    await page.ask("location.hash = '#/case/alerts/acme/n40'")
    await page.sees("41 of 60 in the list")
    await page.press("q")
    await page.until(left.format("40"))
    await page.press("k", "Enter")
    await page.sees("40 of 60 in the list")
    await page.press("a")
    await page.sees("41 of 60 in the list")
    await page.press("n")
    await page.sees("42 of 60 in the list")
    await page.press("Escape")
    await page.until(left.format("41"))


async def test_what_was_just_decided_is_no_longer_counted(start: Start) -> None:
    """A number that stays makes people look for a case that is done."""
    console = await start(five_cases, hold_s=10)
    page = await console.page(where="#/queue?tenant=acme&queue=endpoint")
    await page.sees("3 cases found")
    number = "document.querySelector('[data-facet=domain][data-value=alerts] .number')"
    await page.press("j", "Enter")
    await page.sees("1 of 3 in the list")
    await page.press("a")
    await page.sees("2 of 3 in the list")
    assert "proposed endpoint · Needs review" in (await page.texts(".history p"))[0]
    await page.press("q")
    await page.sees("2 cases found")
    await page.until("document.activeElement?.dataset.place === '1'")
    await page.press("f")
    await page.until("document.activeElement?.dataset.facet")
    chosen = "document.activeElement.dataset.value"
    before = await page.ask(chosen)
    await page.press("ArrowDown")
    assert await page.ask(chosen) != before
    await page.press("ArrowUp")
    assert await page.ask(chosen) == before
    await page.press("Escape")
    await page.click("[data-facet=queue][data-value=endpoint]")
    await page.sees("3 cases found")
    await page.until(f"{number}.innerText === '2'")
    await page.press("u")
    await page.sees("Undone")


async def test_a_comment_is_kept_by_escape_and_sent_by_control_and_enter(start: Start) -> None:
    """Who presses Escape in the field must neither lose the text nor leave the case."""
    console = await start(five_cases)
    page = await console.page(where=PAGES["case"])
    await page.sees("Accept proposal")
    await page.press("c")
    await page.type("seen before")
    await page.press("Escape")
    assert await page.ask("document.querySelector('textarea').value") == "seen before"
    assert await page.ask("document.activeElement.tagName") == "BODY"
    await page.press("c")
    enter = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "modifiers": 2}
    await page.call("Input.dispatchKeyEvent", type="keyDown", **enter)
    await sees_case(page, "host 18")
    await until(lambda: len(console.world.sent) == 1)
    assert (console.world.sent[0].id, console.world.sent[0].comment) == ("one", "seen before")


async def test_the_whole_document_opens_with_one_key(start: Start) -> None:
    """A field that decides may lie three levels deep, and each level would be a click."""

    def fill(world: World) -> None:
        deep = {f"field {number}": {"inner": {"value": number}} for number in range(20)}
        world.add("one", title="A large document", document=deep, text="words " * 60)
        world.add("two", title="A small document", document={"a": {"b": {"c": "seen"}}})

    console = await start(fill)
    page = await console.page(where=PAGES["case"])
    await page.sees("Accept proposal")
    await page.until("!document.querySelector('details.panel h2').closest('details').open")
    await page.press("d")
    await page.until("document.querySelectorAll('.tree .value').length === 20")
    await page.press("d")
    await page.until("!document.querySelector('details.panel h2').closest('details').open")
    await page.ask("location.hash = '#/case/alerts/acme/two'")
    await page.until("document.querySelector('.tree .value')?.innerText === 'seen'")


async def test_the_last_case_says_that_it_is_the_last(start: Start) -> None:
    """Who is led back to the first case without a word decides it a second time."""
    console = await start(five_cases)
    page = await console.page()
    await page.sees("5 cases open")
    await page.ask("location.hash = '#/case/tickets/acme/five'")
    await page.sees("5 of 5 in the list")
    await page.press("n")
    await page.sees("That was the end of the list")
    await page.sees("1 of 5 in the list")
