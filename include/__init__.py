"""Noria's library. It never imports airflow; the same code runs in a pod, a local process and a notebook."""
