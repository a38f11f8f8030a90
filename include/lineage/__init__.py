"""What each step reads and writes, as datasets with lasting names and versions: for catalogs outside of Noria.

Nothing is kept for it: the outputs of steps say what became of them, the registry and the pages of gates say the rest.
"""
