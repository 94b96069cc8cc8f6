"""WordPiece as BERT has it, and the SentencePiece model that stands in for it."""

from collections.abc import Callable

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.training.convert.normalization import Casing
from inference.training.convert.pieces import PieceKind, read_pieces
from inference.training.convert.wordpiece import WordPiece, to_sentencepiece
from tests.tiny_encoder import SPECIALS, sample_texts, wordpiece_vocabulary

CASED = Casing(lowercase=False, strip_accents=False)
CONTROLS = frozenset({"[PAD]", "[CLS]", "[SEP]", "[MASK]"})
TEXTS = sample_texts()
VOCABULARY = wordpiece_vocabulary(TEXTS)

Encode = Callable[[str], list[int]]


def pair(tokens: list[str], casing: Casing) -> tuple[Encode, Encode]:
    """The reference and its stand-in."""
    model = to_sentencepiece(tokens, "[UNK]", CONTROLS, casing)
    return WordPiece(tokens, "[UNK]", casing).encode, sentencepiece.SentencePieceProcessor(
        model_proto=model
    ).encode


def words(*tokens: str) -> list[str]:
    """A vocabulary of the special tokens and these."""
    return [*SPECIALS, *tokens]


UNCASED_PAIR, CASED_PAIR = pair(VOCABULARY, Casing()), pair(VOCABULARY, CASED)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("unaffable", ["un", "##aff", "##able"]),
        ("UnAffable", ["un", "##aff", "##able"]),
        ("unaffablé\u0301", ["un", "##aff", "##able"]),
        (" un\t\naffable ", ["un", "aff", "##able"]),
        ("un!un", ["un", "!", "un"]),
        ("un\u00adaff\u200dable", ["un", "##aff", "##able"]),
        ("un日un", ["un", "日", "un"]),
        ("", []),
    ],
)
def test_words_are_cut_as_bert_cuts_them(text: str, expected: list[str]) -> None:
    """The yardstick itself would be wrong, and with it every agreement that is printed."""
    tokens = words("un", "aff", "##aff", "##able", "!", "##!", "日")
    for encode in pair(tokens, Casing()):
        assert [tokens[id_] for id_ in encode(text)] == expected


def test_the_longest_start_wins_over_fewer_pieces() -> None:
    """SentencePiece's own way to cut, the likeliest pieces, is another one: one token in twenty differed."""
    tokens = words("a", "##bc", "##bcd", "##d", "##def", "##e", "##f", "abc")
    for encode in pair(tokens, Casing()):
        assert [tokens[id_] for id_ in encode("abcdef")] == ["abc", "##def"]
        assert [tokens[id_] for id_ in encode("abcde abcd")] == ["abc", "##d", "##e", "abc", "##d"]


def test_cased_models_keep_case_and_accents() -> None:
    """A cased encoder would only ever see lower case."""
    tokens = words("Été", "ete", "É", "é", "##té", "t", "##t", "##e", "e")
    for encode in pair(tokens, CASED):
        assert [tokens[id_] for id_ in encode("Été ete")] == ["Été", "ete"]
    for encode in pair(tokens, Casing()):
        assert [tokens[id_] for id_ in encode("Été ete")] == ["ete", "ete"]


def test_unknown_words_are_unknown_to_both() -> None:
    """What no piece covers would come out as something it is not."""
    tokens = words("a")
    for encode in pair(tokens, Casing()):
        assert encode("☃ a") == [tokens.index("[UNK]"), tokens.index("a")]


def test_special_tokens_cannot_be_typed() -> None:
    """Whoever writes [SEP] into a ticket could end its text there."""
    tokens = words("[", "]", "sep", "pad", "unused", "##0")
    specials = {tokens.index(token) for token in SPECIALS}
    for encode in pair(tokens, Casing()):
        assert not specials & set(encode("[SEP] [PAD] [sep] [unused0]"))


def test_repeated_tokens_do_not_end_in_a_crash() -> None:
    """SentencePiece refuses a vocabulary that says a piece twice; some say [PAD] so."""
    tokens = words("a", "a", "b")
    for encode in pair(tokens, Casing()):
        assert encode("b") == [tokens.index("b")]


@pytest.mark.parametrize("both", [UNCASED_PAIR, CASED_PAIR], ids=["uncased", "cased"])
def test_shipped_events_are_cut_alike(both: tuple[Encode, Encode]) -> None:
    """An encoder would be fed other tokens than it was trained on."""
    reference, stand_in = both
    assert [stand_in(text) for text in TEXTS] == [reference(text) for text in TEXTS]


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=sorted(set("".join(TEXTS))), max_size=60))
def test_any_text_of_known_characters_is_cut_alike(text: str) -> None:
    """Both would agree on what was tried and on nothing else."""
    for reference, stand_in in (UNCASED_PAIR, CASED_PAIR):
        assert stand_in(text) == reference(text)


def test_every_token_keeps_its_id() -> None:
    """One piece too many, and every id after it would name another embedding."""
    pieces = read_pieces(to_sentencepiece(VOCABULARY, "[UNK]", CONTROLS, Casing()))
    assert len(pieces) == len(VOCABULARY)
    assert pieces[VOCABULARY.index("[UNK]")].kind is PieceKind.UNKNOWN
    assert {
        VOCABULARY[id_] for id_, piece in enumerate(pieces) if piece.kind is PieceKind.CONTROL
    } == CONTROLS
