"""What Airflow loads: operators, sensors, triggers. Imported as `plugins.…`; Airflow loads only `noria_plugin`."""
