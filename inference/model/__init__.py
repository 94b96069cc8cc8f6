"""The small model: its directory on disk, the tokenizer, the int8 encoder, the heads, and the engine that batches."""
