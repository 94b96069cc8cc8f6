"""The learner: from the topic of labelled rows to a candidate in the registry, and on."""
