"""What happens to one batch of events. Plain async functions; knows nothing of Faust or topics."""
