"""Egress: which events may be sent to an LLM, and what is replaced in them before that."""
