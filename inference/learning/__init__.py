"""Learning from decisions: which rows, how good a candidate is, what history says.

It knows files and rows, and nothing of topics.
"""
