"""What happens to one batch of events: async functions that know nothing of Faust or topics."""
