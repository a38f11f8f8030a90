"""What the console shows of models: read from the registry's tables with a handful of queries, however many models."""
