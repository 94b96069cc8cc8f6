"""How good a served model is on labelled rows: the figures, the baselines, the gate, the report."""
