"""Fuzzing: every parser of outside input is fed mutated bytes. README.md says how, and how a target is added."""
