"""Benchmarks: each walk beside the limit named for it, measured in the same run."""
