"""Chaos on a real Kafka of three brokers: faults are injected, and every event is accounted for."""
