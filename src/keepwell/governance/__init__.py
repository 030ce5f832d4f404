"""Identity and access, applied charters, lineage."""
