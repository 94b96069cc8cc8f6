"""The LLM tiers: a prompt to an OpenAI-compatible endpoint, and what its answer may change."""
