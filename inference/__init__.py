"""Text in, calibrated labels out. Knows nothing of Kafka."""
