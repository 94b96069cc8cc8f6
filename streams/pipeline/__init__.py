"""The way of a batch: read by the consumer, processed by an agent, published, then committed."""
