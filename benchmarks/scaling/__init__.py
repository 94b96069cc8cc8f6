"""How the pipeline grows with workers, measured with a stand-in of the model on a real Kafka."""
