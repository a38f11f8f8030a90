"""DAG definitions: the families, and one small file for each model."""
