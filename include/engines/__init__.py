"""What computes features, training sets and models: this machine, or several that an engine spreads the work over."""
