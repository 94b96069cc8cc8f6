"""Opens what the configuration asks for and checks that the parts fit together."""
