"""Measurements of the pipeline against the bare model and against how people would write it."""
