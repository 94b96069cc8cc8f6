"""The audit topic: append every decision of this worker, and verify everything on the topic."""
