"""Models from a notebook or a script of one's own: training sets as of a date, any step, versions side by side.

>>> from include.notebook import open_model
>>> model = open_model("tumor_malignant")      # of the running stack; private_home() needs none
>>> model.training_set().train.describe()
>>> model.compare(3, 4)

What Airflow runs and what is called here is the same code with the same inputs. Nothing heavy is imported before it
is needed.
"""

from __future__ import annotations

from include.notebook.home import NoStack, PrivateHome, open_model, private_home
from include.notebook.model import Model, RowsUnusable

__all__ = ["Model", "NoStack", "PrivateHome", "RowsUnusable", "open_model", "private_home"]
