"""What runs on one machine for trying and testing: local brokers and the demo."""
