"""Benchmarks of the whole product: ratios against a named baseline that is measured in the same run."""
