"""One thin module for each lifecycle step, and the command line that Airflow and pods call."""
