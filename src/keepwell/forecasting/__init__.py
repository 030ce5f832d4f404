"""Forecasts without user code: features as of an origin, candidates, ensembles, backtests."""
