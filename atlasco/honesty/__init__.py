"""The honesty check: what answers claim of their freshness, held against what had been acknowledged."""
