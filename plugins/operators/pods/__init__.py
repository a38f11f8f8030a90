"""Mode ``kubernetes``: steps run in pods. Nothing in here is imported in any other mode; it costs seconds."""
