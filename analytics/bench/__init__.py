"""Benchmarks of analytics: ratios against a named baseline that is measured in the same run."""
