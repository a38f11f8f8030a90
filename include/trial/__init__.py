"""Models tried before they are merged: which ones a branch changes, and a short life of each in a private home."""
