"""Synthetic data by plan: strata and counts, requests, edge cases, checks."""
