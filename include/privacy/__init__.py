"""What is held about one key of an entity, and how it is erased from everywhere.

``key`` reads a key, which is never logged; ``held`` says what a place holds. Each kind of place has a module that finds
rows of a key there and takes them out: ``lake_rows``, ``log_rows``, ``store_files``, ``pages``, ``tracked_runs``,
``messages``. ``erasing`` puts them in the order in which a kill does no harm.
"""
