"""The only wiring: builds every part once, wraps it in its guard, closes in reverse order."""
