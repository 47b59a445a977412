"""Embedding models: one file a backend."""
