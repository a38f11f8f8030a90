"""Drafts a model's definition and suites from a sample of its data, for a person to edit."""
