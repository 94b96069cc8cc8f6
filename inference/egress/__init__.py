"""What may leave the house, and in what shape."""
