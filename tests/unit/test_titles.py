"""The title of an event and the link to it, as everybody who reads decisions gets them."""

import time
from typing import Any

import pytest

from schemas.event import Event
from schemas.formats.links import MAX_LINK_CHARS, plain_link
from schemas.titles import MAX_TITLE_CHARS, plain_title


def alert(**fields: Any) -> Event:
    """An alert with these fields."""
    return Event(id="a-1", kind="alert", **fields)


@pytest.mark.parametrize(
    ("fields", "title"),
    [
        ({"title": " Root  login\twithout MFA ", "text": "x"}, "Root login without MFA"),
        ({"text": "\n \nI lost my card\non the train"}, "I lost my card"),
        ({"title": "\u200b", "body": "My card is gone"}, "My card is gone"),
        ({"title": "one\r\ntwo"}, "one"),
        ({"title": "\x1b[31mred\x1b[0m \u202eevil"}, "[31mred[0m evil"),
        ({"key_fields": {"type": "Recon:EC2"}, "event": {"name": "x"}}, "Recon:EC2"),
        ({"event": {"id": "17", "info": {"alert_name": "Port scan", "name": "x"}}}, "Port scan"),
        ({"event": {"a": "first", "detail": {"message": "Disk is full"}}}, "Disk is full"),
        ({"event": {"rule.title": "Brute force"}}, "Brute force"),
        ({"event": {"items": [{"id": "4f1c", "eventName": "CreateUser"}]}}, "CreateUser"),
        ({"event": {"id": "4f1c-99", "user": "ana"}}, None),
        ({"event": {"a": 1, "b": {"c": ""}}}, None),
        ({"title": "x" * 500}, "x" * (MAX_TITLE_CHARS - 1) + "…"),
    ],
)
def test_the_title(fields: dict[str, Any], title: str | None) -> None:
    """A person would not see in a list what an event is about, or a terminal would obey it."""
    assert plain_title(alert(**fields)) == title


@pytest.mark.parametrize(
    "fields",
    [
        {"title": "\u200b" * 1_000_000},
        {"text": "\n" * 1_000_000},
        {"event": {f"k{number}": {"title": "\u200b" * 900} for number in range(20_000)}},
        {"event": {"a": [[["\u200b"]] * 1_000] * 1_000}},
    ],
    ids=["invisible", "empty lines", "many objects", "many lists"],
)
def test_the_title_of_a_hostile_event_costs_little(fields: dict[str, Any]) -> None:
    """A sender could hold up the worker with an event that has no title."""
    started_s = time.process_time()
    assert plain_title(alert(**fields)) is None
    assert time.process_time() - started_s < 1.0


@pytest.mark.parametrize(
    "link",
    [
        "https://desk.example.com/tickets/5158",
        "http://10.0.0.5:8080/a?b=c&sort=desc#top",
        "HTTPS://Example.com",
        "https://mon.example/graph?g0.expr=up%7Bjob%3D%22x%22%7D&g0.tab=1",
        "https://tracker.example.com/browse/KAN-22?key=KAN-22",
        "https://[2001:db8::1]/x",
    ],
)
def test_a_link_that_may_be_given_to_everybody(link: str) -> None:
    """A person could not get from the decision to the event at its sender."""
    assert plain_link(f" {link}\n") == link


@pytest.mark.parametrize(
    "link",
    [
        None,
        "",
        "javascript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "ftp://example.com/x",
        "//example.com/x",
        "example.com/x",
        "https://",
        "https:///x",
        "https://ana:secret@example.com/x",
        "https://ana@example.com/x",
        "https://example.com/\u202egnp.exe",
        "https://example.com/\x1b[2J",
        "https://example.com/a b",
        "https://example.com:port/x",
        "https://[::1/x",
        'https://example.com/"onclick="x',
        "https://example.com/?access_token=abc",
        "https://example.com/#id_token=abc",
        "https://bucket.example.com/x?X-Amz-Signature=abc",
        "https://blob.example.com/x?sv=1&sig=abc",
        "https://example.com/x?apiKey=abc",
        "https://example.com/login?next=/&session=abc",
        "https://example.com/" + "x" * MAX_LINK_CHARS,
    ],
)
def test_a_link_that_is_left_out(link: str | None) -> None:
    """A click could run a script, or sign a person in as somebody else."""
    assert plain_link(link) is None
