"""Tens of thousands of hostile texts: none stops the process, none holds up the others."""

import random
import time
from collections.abc import Callable

import pytest

from schemas.event import Kind
from schemas.formats.text import plain
from tests.patience import without_collection
from tests.property.mail_skins import LANGUAGES, in_html, message, notice, quote, signature

COUNT = 20_000
LARGE_CHARS = 100_000
MAX_CPU_S = 0.6
"""For a text of 100 kB. It takes about 20 ms on a free machine; quadratic work takes seconds."""

HTML_PIECES = (
    *("<", ">", "</", "/>", "<!--", "-->", "<!", "<?", "]]>", "<![CDATA[", "&", ";", "&#", "&lt;"),
    *("<b>", "</b>", "<p>", "</p>", "<div>", "</div>", "<br>", "<br/>", "<li>", "<td>", "</table>"),
    *(
        "<script>",
        "</script>",
        "<style>",
        "</style>",
        "<head>",
        "<body>",
        "<html>",
        "<!doctype html>",
    ),
    *("<pre>", "</pre>", "<blockquote>", "</blockquote>", "<blockquote type=cite>", "<svg>", "<a "),
    *(
        "<a href='",
        '<a href="',
        "'",
        '"',
        "=",
        " ",
        "\n",
        "\t",
        "<p style='display:none'>",
        "<o:p>",
    ),
    *("<div class=gmail_quote>", "<div id=Signature>", "<div id=appendonsend>", "<span hidden>"),
    *("<img alt='x'>", "<img", "words", "List<String>", "&nbsp;", "&#x110000;", "&#55357;", "\x00"),
    *(
        "a < b",
        "é",
        "\u202e",
        "\U0001f44d",
        "&notin;",
        "<x-y>",
        "<String>",
        "<m@example.com>",
        "\xa0",
    ),
)
MAIL_PIECES = (
    *(
        "> ",
        ">",
        "\n",
        "\n\n",
        "\r\n",
        "\r",
        " ",
        "\t",
        "--",
        "-- \n",
        "---",
        "____________\n",
        "*",
    ),
    *(
        "On Mon, 3 Mar 2031 at 10:02, D wrote:\n",
        "Am 3.3.2031 um 10:02 schrieb D:\n",
        "On ",
        "wrote:",
    ),
    *("Le 3 mars 2031 à 10:02, D a écrit :\n", "From:", "From: a@b\n", "Sent: x\n", "To: y\n"),
    *(
        "Subject: z\n",
        "De : ",
        "Von: ",
        "-----Original Message-----\n",
        "Begin forwarded message:\n",
    ),
    *(
        "Best regards\n",
        "Thanks,\n",
        "Thanks, Dana\n",
        "Dana\n",
        "MfG\n",
        "PS: x\n",
        "FYI\n",
        "1\n",
    ),
    *(
        "Sent from my iPhone\n",
        "This e-mail is confidential\n",
        "intended recipient\n",
        "I lost it.\n",
    ),
    *(
        "To unsubscribe click here\n",
        "##- x -##\n",
        "Reply above this line",
        "words",
        "\xa0",
        ":",
        "@",
    ),
    *(
        "_\n",
        "[a](https://x)",
        "![",
        "](",
        "```\n",
        "{code}",
        "!a.png!",
        "<https://x|y>",
        "\x00",
        "\u2028",
    ),
)
LARGE_UNITS = (
    *(piece for piece in (*HTML_PIECES, *MAIL_PIECES) if piece.strip(" ")),
    *(
        "<a><b><p>",
        "<p>x<p hidden>y",
        "<td>x",
        "<p>a</p>",
        "[a](http://",
        "&a;",
        "a\n",
        ">a\n> b\n",
    ),
    *(
        "<blockquote>x",
        "FYI\n-----Original Message-----\n",
        "a,\n",
        "From: a@b;\n",
        "(1 ",
        "a b c\n",
    ),
    *("Best regards\nDana\n\n", "Sent: x\nFrom: a@b\n", "To: a@b;\n", "<div", "\n ", "\n> On 1\n"),
)


def html_text(rng: random.Random) -> str:
    """Pieces of HTML in any order."""
    start = rng.choice(("", "<html>", "<p>", "<div>x</div>", "words "))
    return start + "".join(rng.choices(HTML_PIECES, k=rng.randint(1, 30)))


def mail_text(rng: random.Random) -> str:
    """Pieces of mails in any order."""
    return "".join(rng.choices(MAIL_PIECES, k=rng.randint(1, 30)))


def broken_mail(rng: random.Random) -> str:
    """A mail as programs write it, in text or HTML, of which a part was overwritten."""
    habits = LANGUAGES[rng.choice(sorted(LANGUAGES))]
    parts = [make(rng, habits) for make in (message, signature, notice, quote)]
    rng.shuffle(parts)
    text = "\n\n".join(parts)
    if rng.random() < 0.5:
        text = in_html(rng, text)
    start = rng.randrange(len(text))
    return (
        text[:start] + rng.choice((*HTML_PIECES, *MAIL_PIECES)) + text[start + rng.randint(0, 40) :]
    )


@pytest.mark.parametrize(
    ("make", "count"),
    [(html_text, COUNT), (mail_text, COUNT), (broken_mail, COUNT // 10)],
    ids=["html", "mail", "broken mail"],
)
def test_any_text_is_read(make: Callable[[random.Random], str], count: int) -> None:
    """One text that raises another error would stop the worker, again after every restart."""
    rng = random.Random(14)
    kinds: tuple[Kind, ...] = ("ticket", "ticket", "alert")
    for number in range(count):
        text = make(rng)
        kind = kinds[number % 3]
        found = plain(kind, text)
        assert len(found.words) + len(found.cut_off) <= 2 * len(text), repr(text)
        assert kind == "ticket" or not found.cut_off, repr(text)
        if "<" not in text and "&" not in text:
            assert found.words.strip() or not text.strip() or "](" in text or _is_markup(text), text


def _is_markup(text: str) -> bool:
    return any(mark in text for mark in ("```", "{code}", "!a.png!"))


@pytest.mark.parametrize("kind", ["ticket", "alert"])
def test_the_time_for_a_large_text_is_bounded(kind: Kind) -> None:
    """One text of a stranger would hold up every other event for seconds."""
    slow = {}
    for unit in LARGE_UNITS:
        for start in ("", "<p>a</p>", "I lost my card.\n"):
            if kind == "alert" and start == "":
                continue  # Nothing is cut off an alert: only its markup takes time.
            text = (start + unit * (LARGE_CHARS // len(unit)))[:LARGE_CHARS]
            with without_collection():
                started_s = time.thread_time()
                plain(kind, text)
                spent_s = time.thread_time() - started_s
            if spent_s > MAX_CPU_S:
                slow[start + unit] = spent_s
    assert not slow
