"""What Airflow loads: operators, sensors, triggers. Imported as `plugins.…`; Airflow itself loads only `noria_plugin`."""
