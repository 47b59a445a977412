"""Running work off the event loop, in batches and once. They know nothing of what they run."""
