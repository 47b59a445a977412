"""Layers around a call that may be slow, wrong or gone. They know nothing of what they wrap."""
