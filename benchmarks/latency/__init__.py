"""Latency against load: how long an event takes, from alone to all that the worker can do."""
