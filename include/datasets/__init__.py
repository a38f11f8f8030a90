"""Real data sets that packages ship, landed as files."""
