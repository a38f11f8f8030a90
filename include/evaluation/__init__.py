"""Metrics, intervals, slices, baselines, the comparison of two models, the decision."""
