"""From an event to calibrated labels. Nothing in this package uses Kafka."""
