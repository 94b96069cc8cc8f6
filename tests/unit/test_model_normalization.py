"""What is no language is taken out before the model reads or counts anything."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.model.normalization import is_code, normalize, split_names


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("see https://app.example.com/login?a=b now", "see now"),
        ("(https://kb.example/articles/1)", ""),
        ("[the article](https://kb.example/1) says", "[the article]( says"),
        ("www.example.com blocked", "blocked"),
        ("mail from dana@example.com, twice", "mail from twice"),
        ("@channel please look", "@channel please look"),
        ("bucket arn:aws:s3:eu-west-1:123456789012:reports/2031/q3 is public", "bucket is public"),
        ("my order 4837-2291-AX is late", "my order is late"),
        ("help, order 4837-2291-AX is late", "help, is late"),
        ("case INC0012345 again", "again"),
        ("error 0x80070005", ""),
        ("id 11111111-2222-3333-4444-555555555555", "id"),
        ("the order of 12 is late", "the order of 12 is late"),
        ("hash d41d8cd98f00b204e9800998ecf8427e seen", "hash seen"),
        ("instance i-0abcdef1234567890 stopped", "instance stopped"),
        ("from 203.0.113.9 to 2001:db8::8a2e:370:7334", "from to"),
        ("at 2031-05-02T10:11:12Z", "at"),
        ("SID S-1-5-21-3623811015-3361044348-30300820-1013", "SID"),
    ],
)
def test_addresses_and_codes_are_taken_out(text: str, expected: str) -> None:
    """They say nothing about the queue and look like another language."""
    assert " ".join(normalize(text).split()) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"C:\Users\k\Downloads\invoice.exe ran", "C Users k Downloads invoice.exe ran"),
        ("/var/log/auth.log", "var log auth.log"),
        ("TCP/IP and/or UDP", "TCP IP and or UDP"),
        ("system:serviceaccount:default:tiller", "system serviceaccount default tiller"),
        (r"C:\Windows\4f2a9c81d0\x.dll", "C Windows x.dll"),
    ],
)
def test_the_words_of_a_path_stay(text: str, expected: str) -> None:
    """The name of a program or of a folder often tells what happened."""
    assert normalize(text) == expected


@pytest.mark.parametrize(
    "word",
    [
        "CVE-2021-44228", "T1059.001", "KB5005565", "4625", "S3", "EC2", "x64", "Win32", "web-03",
        "SHA256", "M365", "MS17-010", "CWE-79", "2024", "lsass.exe", "AssumeRole",
    ],
)  # fmt: skip
def test_names_with_digits_stay(word: str) -> None:
    """A vulnerability, an event number or a product decides the queue of many alerts."""
    assert not is_code(word)


@given(
    st.lists(
        st.sampled_from(["the", "card", "was", "declined", "in", "a", "shop", "after", "lunch"]),
        max_size=9,
    )
)
def test_plain_english_is_left_as_it_is(words: list[str]) -> None:
    """Most texts have nothing to take out, and their training rows were read like this."""
    assert normalize(" ".join(words)) == " ".join(words)


def test_names_are_split_into_words() -> None:
    """A name that runs words together counts as many tokens, though each word is English."""
    assert split_names("AssumeRole DNSQuery file_event x") == "Assume Role DNS Query file event x"
