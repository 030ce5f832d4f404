"""Other systems' protocols: each a codec over the same services, ledger and permissions."""
