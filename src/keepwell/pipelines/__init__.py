"""Steps and graphs, fingerprints, the step cache, runners."""
