"""Training sets as of a date, the trainer, the packaged model."""
