"""What an LLM is shown of an event, and how its answer is read."""
