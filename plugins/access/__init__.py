"""Who may see and do what in Airflow: the api-server's auth manager."""
