"""The registry of models: what is served, what may follow it, and the swap at work."""
