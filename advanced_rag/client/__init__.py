"""A client of the service over HTTP. Needs httpx and imports nothing else of ours: it can be copied."""
