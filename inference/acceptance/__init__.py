"""When the small model may decide alone: the calibrated promise, and the policy that applies it."""
