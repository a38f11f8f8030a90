"""Airflow notifiers: what happens in a run becomes an alert, and alerts reach people."""
