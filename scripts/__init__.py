"""Scripts: benchmarks, and pages made from the code."""
