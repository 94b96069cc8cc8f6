"""The view of cases: what waits for a person, what was decided, and how a verdict is sent."""
