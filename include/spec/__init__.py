"""What a model definition may say, and what is wrong with one that may not."""
