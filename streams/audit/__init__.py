"""The audit topic: appending every decision of this worker, and verifying all that was written."""
