"""One spelling for every text, so that a value cannot hide behind an unusual one."""

import pytest

from inference.egress.normalization import disarm, fold, normalise, plain_punctuation


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("joe&#64;corp&#x2E;com", "joe@corp.com"),
        ("joe&commat;corp&period;com", "joe@corp.com"),
        ("10&colon;20", "10:20"),
        (r"joe\u0040corp.com", "joe@corp.com"),
        ("\uff4aoe\uff20corp.com", "joe@corp.com"),
        ("\u0664\u0665\u0966", "450"),
        ("se\u200bcr\u00adet", "secret"),
        ("s\u0336e\u0336c\u0336", "sec"),
        ("a\u2028b\x85c\td\x00", "a\nb\nc\td"),
    ],
)
def test_hidden_spellings_are_resolved(written: str, read: str) -> None:
    """A value would be sent because it is not written as usual."""
    assert normalise(written) == read


@pytest.mark.parametrize(
    "reference", ["&#xD800;", "&#xFFFFFF;", "&#1114112;", "&#57343;", "\ud800"]
)
def test_what_is_no_character_becomes_a_question_mark(reference: str) -> None:
    """One such reference would end in an error, and the event never be sent."""
    assert normalise(f"a{reference}b") == "a?b"


def test_placeholders_of_others_are_disarmed() -> None:
    """Somebody could write a placeholder into an event and be given the value of another."""
    assert disarm("[EMAIL_1] [ ip_22 ] [note]") == "(EMAIL_1) (ip_22) [note]"


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("ADMIN\u2019S \u201cpass\u2010word\u201d", 'admin\'s "pass-word"'),
        ("\u0130STANBUL 10\u00b70", "\u0130stanbul 10.0"),
    ],
    ids=["one character each", "a lower case of two characters"],
)
def test_folding_keeps_every_offset(text: str, folded: str) -> None:
    """The characters beside a value would be redacted in its place."""
    assert fold(text) == folded
    assert len(fold(text)) == len(text) == len(plain_punctuation(text))
