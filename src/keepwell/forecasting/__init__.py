"""Forecasting without user code: features as of an origin, candidates, ensembles, backtests, one fit a segment."""
