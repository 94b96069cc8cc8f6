"""`python -m benchmarks.learning`: what a desk with labels of its own sees, from no verdict on."""
