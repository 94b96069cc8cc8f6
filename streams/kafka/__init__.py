"""The Kafka clients: connection, producer, readers, admin; and which offsets may be committed."""
