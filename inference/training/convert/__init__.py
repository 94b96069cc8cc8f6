"""A Hugging Face encoder to a CTranslate2 one with a SentencePiece tokenizer, without torch or transformers."""

from inference.training.convert.checkpoint import BertConfig, read_config
from inference.training.convert.conversion import convert
from inference.training.convert.facts import EncoderFacts, describe
from inference.training.convert.vocabulary import read_vocabulary

__all__ = ["BertConfig", "EncoderFacts", "convert", "describe", "read_config", "read_vocabulary"]
