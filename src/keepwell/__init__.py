"""Keepwell keeps production models in good standing."""

__version__ = "0.1.0"
