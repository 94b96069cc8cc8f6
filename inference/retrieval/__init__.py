"""What an LLM is shown beside the event: settled events like it, and passages of runbooks."""
