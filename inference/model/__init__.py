"""The small model: its directory, the tokenizer, the int8 encoder, the heads and the engine."""
