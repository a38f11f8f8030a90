"""The local stack: PostgreSQL, MLflow, Airflow's processes and the inference server on one machine."""
