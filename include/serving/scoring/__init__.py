"""Batch scoring: which version answers, and its answers for many rows, in bounded memory. It serves no requests."""
