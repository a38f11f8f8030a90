"""Reference profiles, distances, verdicts on drift and decay."""
