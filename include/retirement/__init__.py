"""What becomes of a model that is out of production: an archive of all that audits need, and the end of the rest.

Its way out and back itself is the registry's (:mod:`include.registry.retirement`).
"""
