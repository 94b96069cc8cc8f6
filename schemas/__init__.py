"""What travels on the topics: typed events, codecs, and adapters for the formats of other tools.

This package imports nothing from the other packages of the project.
"""
