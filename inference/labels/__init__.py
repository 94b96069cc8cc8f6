"""The labels file: descriptions, examples and new names of labels."""
