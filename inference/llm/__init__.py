"""The LLM tier: a bounded question to any OpenAI-compatible endpoint, and what may be made of its answer."""
