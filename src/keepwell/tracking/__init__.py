"""Recorded runs: parameters, metrics, artifacts, inputs, code version, environment."""
