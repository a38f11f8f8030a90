"""One module for each revision. A released one is never changed: what comes later is a revision of its own."""
