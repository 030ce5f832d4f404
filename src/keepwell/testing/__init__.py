"""Conformance suites and failure tools that others can run too."""
