"""Rules that people write in CEL: options, compiled conditions, and what a rule decides."""
