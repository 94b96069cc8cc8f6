"""One OpenAI-compatible endpoint: the request, the reply, all failures, and retries in time."""
