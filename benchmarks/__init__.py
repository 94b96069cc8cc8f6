"""Measurements: the pipeline, the bare model, and the code that people would first write."""
