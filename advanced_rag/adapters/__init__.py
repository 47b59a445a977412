"""One folder or file an outside thing; the only place that imports its driver."""
