"""One OpenAI-compatible endpoint: the request, the reply, every way a call can fail, and retries within a deadline."""
