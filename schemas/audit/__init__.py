"""The audit chain, without Kafka: the sealed record, the segments of a chain, and the check of a whole topic."""
