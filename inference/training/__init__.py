"""Training: the code that makes a model directory.

It converts an encoder, fits the heads and calibrates them. It needs the `train` extra. Serving
never imports it.
"""
