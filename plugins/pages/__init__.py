"""Noria's own pages on Airflow's server, behind Airflow's login."""
