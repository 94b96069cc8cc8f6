"""What the encoder reads of an event, and what it shows about the text.

Training and serving make it in the same way.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from inference.model.input_text import EventContent, render_content
from inference.model.language import MAX_CHARS, identify
from inference.model.tokenizer import USUAL_EXCESS, Tokenizer


@dataclass(frozen=True, slots=True)
class InputText:
    """The input text of one event, and the beginning of its own words, without any field."""

    text: str
    words: str


@dataclass(frozen=True, slots=True)
class ModelInput:
    """What the encoder reads of one event.

    `excess_tokens` and `truncated` are those of `Tokens`. `language` is what
    `inference.model.language.identify` found. It is empty if there was no reason to look.
    """

    ids: list[int]
    excess_tokens: float
    language: str
    truncated: bool


def input_text(content: EventContent) -> InputText:
    """The input text of the content of an event."""
    text = render_content(content)
    return InputText(text, (content.plain_text or text)[:MAX_CHARS])


def read_inputs(tokenizer: Tokenizer, texts: Sequence[InputText]) -> list[ModelInput]:
    """What the encoder reads of each text, in the same order.

    The language of a text is only looked for if it costs more tokens than English does. All texts
    in another language do, and few English ones.
    """
    inputs = []
    for text, tokens in zip(texts, tokenizer.tokenize([each.text for each in texts]), strict=True):
        language = ""
        if tokens.excess_tokens > USUAL_EXCESS:
            language = identify(text.words)
        inputs.append(ModelInput(tokens.ids, tokens.excess_tokens, language, tokens.truncated))
    return inputs
