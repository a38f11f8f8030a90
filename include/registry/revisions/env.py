"""What alembic runs to bring a database along, on the connection that :mod:`include.registry.migrations` hands it.

The caller's transaction goes on: alembic neither begins nor commits one.
"""

from __future__ import annotations

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    version_table=context.config.attributes["version_table"],
)
context.run_migrations()
