"""What Prometheus asks of everything but the server: checks, deployments, alerts, Airflow, PostgreSQL, MLflow, disk.

It reads and never writes, and knows none of the rooms that make what it reads: only their tables.
"""
