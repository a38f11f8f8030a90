"""Versioned datasets as Delta tables: staging, publishing, digests, time travel, quarantine."""
