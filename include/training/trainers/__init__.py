"""The trainers: one module each behind one small protocol. Nothing else knows which ones there are."""
