"""Predictions: batch scorings of a fleet, who answered each row, and whether the outcome has come."""
