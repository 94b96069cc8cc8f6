"""The same tests for each double and for the real thing that it stands for."""
