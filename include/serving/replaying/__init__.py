"""Real later days sent to the server as requests, and their labels as feedback: true traffic without callers."""
