"""The whole kill matrix in rounds: several works at once, one after another is killed, then everything is checked."""
