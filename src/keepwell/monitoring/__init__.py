"""Windows, signals and incidents."""
