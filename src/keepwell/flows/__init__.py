"""Flows span capabilities: each is one way through the house, in steps that can be retried."""
