"""The registry: versions, fleets, champions and their history."""
