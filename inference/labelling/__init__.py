"""Makes a labels file from labelled rows, and compares one with rows and with a model."""
