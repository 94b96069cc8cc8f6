"""Retrieval: settled events and passages of runbooks that are quoted to an LLM beside an event."""
