"""Alerts: what has happened to a model that people should know, told once, and delivered until it is."""
