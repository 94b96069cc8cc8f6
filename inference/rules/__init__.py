"""Rules that people write in CEL: what may be configured, how a condition is compiled, and what a rule decides."""
