"""The way of a batch: read by the consumer, processed by one agent, delivered, and only then committed."""
