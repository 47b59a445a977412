"""Use cases: each service holds ports and decides what happens when one of them fails."""
