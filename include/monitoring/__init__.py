"""Reference profiles, distances, drift verdicts."""
