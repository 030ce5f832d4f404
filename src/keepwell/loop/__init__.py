"""The heart: observe, decide, act."""
