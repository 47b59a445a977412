"""One file a resource: parse, call, render."""
