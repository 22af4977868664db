"""Benchmarks of the data plane: ratios against a named baseline that is measured in the same run."""
