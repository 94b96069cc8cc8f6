"""The Faust app: topics, offset discipline, delivery, metrics, configuration, command line."""
