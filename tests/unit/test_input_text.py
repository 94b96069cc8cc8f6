"""The input text: what the model reads of an event, and what it must not read."""

from typing import Any

import pytest
from msgspec.structs import replace

from inference.model.input_text import (
    MAX_CHARS_BEFORE_FIELDS,
    MAX_FIELDS,
    read_content,
    render,
    render_content,
)
from schemas.event import Event
from tests.patience import within_cpu_s


def input_text(document: dict[str, Any] | None = None, **fields: Any) -> str:
    """The input text of one alert."""
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


def test_title_and_body_then_fields_then_the_rest() -> None:
    """Fields after a long text would be cut off; before the text they would hide what happened."""
    body = "A user was made.\n" + "By somebody else. " * 20
    text = input_text(CLOUDTRAIL, title="New user", body=body)
    title, beginning, fields, rest = text.split("\n")
    assert title == "New user"
    assert beginning.startswith("A user was made. By somebody else.")
    assert len(title) + len(beginning) < MAX_CHARS_BEFORE_FIELDS
    assert fields == (
        "eventSource iam.amazonaws.com; eventName CreateUser; type IAMUser; awsRegion eu-central-1"
    )
    assert f"{beginning} {rest}" == " ".join(body.split())


def test_title_and_body_are_read_like_text() -> None:
    """Otherwise events with title and body would differ from the texts of the training."""
    assert input_text(title="New user", body="A user was made.") == input_text(
        text="New user\nA user was made."
    )
    assert input_text(title="Same", text="Same") == input_text(text="Same")


def test_fields_that_a_mapping_chose_come_first() -> None:
    """A mapping names what tells something; a guess by the name of the key would come before it."""
    event = Event(
        id="1",
        kind="alert",
        title="Root login",
        event={"product": "aws", "detail": {"actor": "root user"}, "same": "root user"},
        key_fields={"actor": "root user", "api": "ConsoleLogin"},
    )
    assert render(event) == "Root login\nactor root user; api ConsoleLogin; product aws"


def test_the_document_of_a_ticket_is_not_read() -> None:
    """It is the desk's and not the sender's: its status would decide the queue."""
    plain = Event(id="1", kind="ticket", title="Can't sign in", body="my account is locked")
    document = {"url": "https://desk.example/35436.json", "status": "open", "via": "email"}
    assert read_content(replace(plain, event=document)) == read_content(plain)
    chosen = replace(plain, event=document, key_fields={"category": "logins"})
    assert render(chosen) == f"{render(plain)}\ncategory logins"


def test_links_people_and_computers_are_not_read() -> None:
    """They cost the room of fields that tell something."""
    document = {
        "issueUrl": "see https://x.example/1 for details",
        "avatarUrls": {"48x48": "a picture"},
        "userAgent": "Mozilla on Windows",
        "hostName": "web three",
        "service": {"type": "a_reference"},
        "mail": "k@example.com",
        "sha": "d41d8cd98f00b204e9800998ecf8427e",
        "threat": "cryptominer.sh",
    }
    assert input_text(document, text="x") == "x\nthreat cryptominer.sh"


def test_a_field_that_repeats_the_text_is_left_out() -> None:
    """Vendors write the title again in the message, and the encoder reads 96 tokens only."""
    text = input_text(
        {"message": "A user was made", "action": "made"}, text="New\nA user was made."
    )
    assert text == "New\nA user was made.\naction made"


def test_a_leaf_without_words_changes_nothing() -> None:
    """Otherwise a link or an id that is added to a document would move the n-grams."""
    document = {"product": "aws", "note": {"more": "https://x.example/a and-so-on"}}
    added = {
        **document,
        "ref": "arn:aws:iam::123456789012:role/x",
        "n": "4837-2291-AX",
        "u": "a@b.co",
    }
    event = Event(id="1", kind="alert", text="x", event=document)
    assert read_content(replace(event, event=added)) == read_content(event)


def test_ids_sender_and_tenant_are_not_read() -> None:
    """A model that reads them would learn the data set instead of the work."""
    plain = input_text(CLOUDTRAIL, text="New user")
    assert plain == input_text(
        CLOUDTRAIL, text="New user", source="vendor", tenant="acme", attributes={"a": "b"}
    )
    assert plain == render(Event(id="another", kind="alert", text="New user", event=CLOUDTRAIL))
    for secret in ("the-id", "11111111", "a123456", "2026-01-01", "someone"):
        assert secret not in plain


def test_the_verdict_of_a_sensor_is_not_read() -> None:
    """Otherwise severity would be copied from the input, where it differs between vendors."""
    document = {
        "alert": {"severity": "high", "category": "Attempted Leak", "action": "allowed"},
        "severity": "critical",
    }
    assert input_text(document, text="x") == "x\naction allowed"


def test_a_document_without_text_is_read() -> None:
    """Otherwise an event with only a vendor document would have an empty input text."""
    assert "iam.amazonaws.com" in input_text(CLOUDTRAIL)


def test_the_type_of_the_log_comes_first() -> None:
    """It decides the queue; it could be cut off, or removed with the other SIEM fields."""
    document = {
        "aaa": "filler",
        "p_any_usernames": "somebody",
        "p_log_type": "Okta.SystemLog",
        "name": "sign-on",
    }
    fields = input_text(document, text="x").splitlines()[1]
    assert fields == "p_log_type Okta.SystemLog; name sign-on; aaa filler"


def test_informative_fields_do_not_depend_on_the_order_of_keys() -> None:
    """Otherwise the same record from another JSON library would get another decision."""
    document = {"zeta": "one", "product": "aws", "service": "cloudtrail"}
    assert input_text(document, text="x") == input_text(dict(reversed(document.items())), text="x")


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
def test_hostile_documents_are_bounded_and_fast(document: dict[str, Any]) -> None:
    """Otherwise one document would block the stream or fail in the tokenizer."""
    with within_cpu_s(0.5):
        text = input_text(document, title="title")
    assert len(text) < 2_000
    text.encode("utf-8")
    assert "\x00" not in text


def test_a_deep_document_does_not_exhaust_the_stack() -> None:
    """A document as deep as the JSON decoder allows would end in a RecursionError."""
    document: dict[str, Any] = {"product": "aws"}
    for _ in range(1_000):
        document = {"inner": document}
    assert input_text(document, text="x") == "x"


def test_long_texts_are_bounded() -> None:
    """Otherwise a text of a megabyte would be cleaned for words that are never read."""
    assert len(input_text(text="word " * 200_000)) <= 4_000


def test_control_characters_are_removed() -> None:
    """They would reach the tokenizer and the terminals that show the text."""
    assert input_text(text="a\x00b\x1b[31mc\u2028d") == "a b [31mc\nd"


def test_a_text_has_few_fields_with_it() -> None:
    """Otherwise a long document would hide what happened."""
    line = input_text({f"field_{i}x": f"value {i}" for i in range(99)}, text="x").split("\n")[1]
    assert line.count(";") == MAX_FIELDS - 1


def test_an_event_without_words_has_an_empty_text() -> None:
    """Otherwise an event of blanks would raise an error instead of being escalated."""
    assert input_text(text=" \n\t") == ""


def test_content_is_read_once_and_cannot_change() -> None:
    """The encoder and the n-gram head share the content; a change would give them two events."""
    event = Event(id="the-id", kind="alert", text="New user", event=CLOUDTRAIL)
    content = read_content(event)
    assert render_content(content) == render(event)
    assert read_content(event) == content
    assert hash(content) == hash(read_content(event))
    assert content.has_document
    assert not read_content(Event(id="the-id", kind="alert", event={})).has_document


@pytest.mark.parametrize(
    "document",
    [
        {"Severity": "CRITICAL"},
        {"severity_label": "critical"},
        {"finding": {"severity": {"name": "Critical"}}},
        {"labels": {"severity": "critical"}},
        {"ticket": {"priority": "Critical"}},
        {"rule": {"level": "critical"}},
        {"riskLevel": "critical"},
    ],
)
def test_what_the_sender_states_is_not_read(document: dict[str, Any]) -> None:
    """The model would copy the vendor's severity, and be as wrong as the vendor."""
    event = Event(id="e", kind="alert", event={"name": "Port scan", **document})
    content = read_content(event)
    assert "critical" not in render(event).lower()
    assert not any("critical" in text.lower() for _, text in content.leaves)
    assert "Port scan" in render(event)
