"""Apache Spark as an engine: it spreads the work over its executors, which do it as one machine would."""
