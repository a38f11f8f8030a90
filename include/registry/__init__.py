"""MLflow versions, deployment state and ledger."""
