"""The view: what the model may read of an event, and what it may not."""

import time
from typing import Any

import pytest

from inference.model.input_text import MAX_FIELDS, render
from schemas.event import Event


def make(document: dict[str, Any] | None = None, **fields: Any) -> str:
    """The view of one alert."""
    return render(Event(id="the-id", kind="alert", event=document, **fields))


CLOUDTRAIL = {
    "eventVersion": "1.08",
    "eventID": "11111111-2222-3333-4444-555555555555",
    "eventTime": "2026-01-01T00:00:00Z",
    "awsRegion": "eu-central-1",
    "eventSource": "iam.amazonaws.com",
    "eventName": "CreateUser",
    "userIdentity": {"type": "IAMUser", "accountId": "a123456", "userName": "someone@example.com"},
}


def test_headline_then_fields_then_text() -> None:
    """Fields behind a long text would be cut off, and with them the queue."""
    assert make(CLOUDTRAIL, title="New user", body="A user was made.\nBy somebody.").split(
        "\n"
    ) == [
        "New user",
        "eventSource iam.amazonaws.com; eventName CreateUser; type IAMUser; awsRegion eu-central-1",
        "A user was made. By somebody.",
    ]


def test_title_and_body_read_like_text() -> None:
    """The model was trained on one shape of text; a producer that sends the parts apart would be read otherwise."""
    assert make(title="New user", body="A user was made.") == make(
        text="New user\nA user was made."
    )
    assert make(title="Same", text="Same") == make(text="Same")


def test_ids_sender_and_tenant_are_not_read() -> None:
    """A model that reads them learns the data set instead of the work."""
    plain = make(CLOUDTRAIL, text="New user")
    assert plain == make(
        CLOUDTRAIL, text="New user", source="vendor", tenant="acme", attributes={"a": "b"}
    )
    assert plain == render(Event(id="another", kind="alert", text="New user", event=CLOUDTRAIL))
    for secret in ("the-id", "11111111", "a123456", "2026-01-01", "someone"):
        assert secret not in plain


def test_a_sensors_own_verdict_is_not_read() -> None:
    """Severity would be read off the input and mean nothing for other vendors."""
    document = {
        "alert": {"severity": "high", "category": "Attempted Leak", "action": "allowed"},
        "severity": "critical",
    }
    assert make(document, text="x") == "x\naction allowed"


def test_document_alone_speaks_for_itself() -> None:
    """A producer that sends only its vendor document would be triaged on nothing."""
    assert "iam.amazonaws.com" in make(CLOUDTRAIL)


def test_whose_log_it_is_comes_first() -> None:
    """The field that settles the queue would be cut off behind others, or left out with what else a SIEM adds."""
    document = {
        "aaa": "filler",
        "p_any_usernames": "somebody",
        "p_log_type": "Okta.SystemLog",
        "name": "sign-on",
    }
    assert (
        make(document, text="x").splitlines()[1]
        == "p_log_type Okta.SystemLog; name sign-on; aaa filler"
    )


def test_order_of_keys_hardly_matters() -> None:
    """The same record serialised by another library would be triaged differently."""
    document = {"zeta": "one", "product": "aws", "service": "cloudtrail"}
    assert make(document, text="x") == make(dict(reversed(document.items())), text="x")


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"a": None},
        {"": ""},
        {"a": [[[[[[[[[["deep"]]]]]]]]]]},
        {"k" * 100_000: "v" * 100_000},
        {str(i): {"x": {}} for i in range(100_000)},
        {"nul": "a\x00b", "sur": "\ud800"},
        {"n": 1e308, "t": True},
    ],
    ids=["empty", "null", "nameless", "deep", "long", "wide", "control", "numbers"],
)
def test_hostile_documents_are_bounded_and_quick(document: dict[str, Any]) -> None:
    """One document would hold up the stream, or break the tokenizer."""
    started_s = time.perf_counter()
    text = make(document, title="title")
    assert time.perf_counter() - started_s < 0.5
    assert len(text) < 2_000
    text.encode("utf-8")
    assert "\x00" not in text


def test_deep_document_does_not_exhaust_the_stack() -> None:
    """Nesting as deep as the decoder allows would end in a RecursionError."""
    document: dict[str, Any] = {"product": "aws"}
    for _ in range(1_000):
        document = {"inner": document}
    assert make(document, text="x") == "x"


def test_long_texts_are_bounded() -> None:
    """A text of a megabyte would be copied and cleaned for words nobody reads."""
    assert len(make(text="word " * 200_000)) <= 4_000


def test_control_characters_are_gone() -> None:
    """They would reach the tokenizer and, worse, terminals that show the text."""
    assert make(text="a\x00b\x1b[31mc\u2028d") == "a b [31mc\nd"


def test_few_fields_beside_a_text() -> None:
    """A chatty document would drown what happened."""
    line = make({f"field_{i}x": f"value {i}" for i in range(99)}, text="x").split("\n")[1]
    assert line.count(";") == MAX_FIELDS - 1


def test_nothing_to_read_is_empty() -> None:
    """An event of blanks would raise instead of being escalated."""
    assert make(text=" \n\t") == ""
