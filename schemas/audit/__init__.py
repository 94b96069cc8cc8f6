"""The audit chain: the sealed record, the segments of a chain, and the check of a whole topic.

This package does not talk to Kafka.
"""
