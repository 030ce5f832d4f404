"""Decide: charter, state and now in, decisions out. Pure."""
