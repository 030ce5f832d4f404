"""Ids, digests, names, errors, events, clocks and time spans: values every room shares. No I/O."""
