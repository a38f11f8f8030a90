"""What the loop would have done on a model's own history: train, watch, retrain, compare, keep or promote, by window.

The same steps as in Airflow's DAGs, as calls in this process, in a scratch store with a database of its own. Nothing of
it touches what is in production.
"""
