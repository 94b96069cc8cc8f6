"""What is added to an event and is no language changes nothing that the model reads.

The decision depends on the content alone (`tests/property/test_decisions.py`), so equal contents
have equal decisions.
"""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from inference.model.input_text import read_content
from inference.model.normalization import NAMES_OF_CODES
from schemas.event import DOMAINS, Event
from tests.tiny_model import sample_events

EVENTS = [event for domain in DOMAINS for event in sample_events(domain)]
HEX, ALPHANUMERIC = "0123456789abcdef", "abcdefghijklmnopqrstuvwxyz0123456789"


def word(alphabet: str, least: int, most: int) -> st.SearchStrategy[str]:
    """Words of so many characters."""
    return st.text(st.sampled_from(alphabet), min_size=least, max_size=most)


NAMES = word(ALPHANUMERIC[:26], 2, 12)
LINKS = st.builds("https://{}.example/{}?q={}".format, NAMES, word(ALPHANUMERIC, 1, 20), NAMES)
MAIL_ADDRESSES = st.builds("{}.{}@{}.example.com".format, NAMES, NAMES, NAMES)
ARNS = st.builds(
    "arn:aws:{}:eu-west-1:{:012d}:{}/{}".format,
    NAMES,
    st.integers(0, 10**12 - 1),
    NAMES,
    word(ALPHANUMERIC, 1, 20),
)
ORDER_NUMBERS = st.builds(
    "{:04d}-{:04d}-{}".format,
    st.integers(0, 9999),
    st.integers(0, 9999),
    word("ABCDEFGH", 1, 3),
)
HASHES = st.builds("{:032x}".format, st.integers(1 << 120, (1 << 128) - 1)).filter(
    lambda text: any(char.isdigit() for char in text)
)
IDENTIFIERS = st.uuids(version=4).map(str)
ADDITIONS = st.one_of(LINKS, MAIL_ADDRESSES, ARNS, ORDER_NUMBERS, HASHES, IDENTIFIERS)


@given(st.sampled_from(EVENTS), ADDITIONS, st.sampled_from(["{}", "({})", "{},", "<{}>"]))
def test_an_address_or_a_code_at_the_end_changes_nothing(
    event: Event, addition: str, form: str
) -> None:
    """Otherwise a link in a signature would change the queue of a ticket, or its acceptance."""
    for name in ("title", "text", "body"):
        if before := getattr(event, name):
            changed = replace(event, **{name: f"{before} {form.format(addition)}"})
            assert read_content(changed) == read_content(event)


def test_small_things_of_a_ticket_are_no_language() -> None:
    """A code, an address and a link would make an English ticket read like another language."""
    text = "I can't log in to my account"
    added = (
        f"{text}, error 0x80070005, dana@example.com, order 4837-2291-AX, "
        "https://app.example.com/login"
    )
    plain, changed = (Event(id="1", kind="ticket", text=each) for each in (text, added))
    assert read_content(changed) == read_content(plain)


@given(st.sampled_from(EVENTS), ADDITIONS, st.data())
def test_an_address_or_a_code_between_words_changes_nothing(
    event: Event, addition: str, data: st.DataObject
) -> None:
    """Writers put order numbers and links anywhere."""
    for name in ("title", "text", "body"):
        if before := getattr(event, name):
            words = before.split(" ")
            places = [place for place in range(len(words) + 1) if not _names_a_code(words, place)]
            place = data.draw(st.sampled_from(places))
            changed = " ".join([*words[:place], addition, *words[place:]])
            assert read_content(replace(event, **{name: changed})) == read_content(event)


def _names_a_code(words: list[str], place: int) -> bool:
    """Whether the word before this place would go with a code: "Ticket 4837-2291"."""
    return place > 0 and words[place - 1].strip(".:#,;(\n").lower().endswith(NAMES_OF_CODES)


@given(st.sampled_from(EVENTS), ADDITIONS, NAMES)
def test_a_field_with_an_address_or_a_code_changes_nothing(
    event: Event, addition: str, key: str
) -> None:
    """Two alerts of a product differ in such fields and in nothing else."""
    document = {**(event.event or {}), f"added_{key}": addition}
    assert read_content(replace(event, event=document)) == read_content(event)
