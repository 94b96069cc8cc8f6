"""Detectors: they find values by shape, by the name of the field or by the words around them."""
