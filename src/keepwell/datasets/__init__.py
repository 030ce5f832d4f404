"""Dataset versions by reference, conditioning to the standard form, contracts, profiles."""
