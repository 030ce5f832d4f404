"""Evidence, gates and approvals."""
