"""Converts a Hugging Face encoder to CTranslate2, with a SentencePiece tokenizer.

Neither torch nor transformers is needed.
"""

from inference.training.convert.checkpoint import BertConfig, read_config
from inference.training.convert.conversion import convert
from inference.training.convert.facts import EncoderFacts, describe
from inference.training.convert.vocabulary import read_vocabulary

__all__ = ["BertConfig", "EncoderFacts", "convert", "describe", "read_config", "read_vocabulary"]
