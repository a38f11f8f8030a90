"""Great Expectations suites in, verdict out."""
