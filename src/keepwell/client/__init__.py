"""The SDK: verbs that record runs without ever waiting for a server; `keepwell` exposes them."""
