"""What a served model is worth on labelled rows: figures, baselines beside them, bars to keep, and a report to read."""
