"""Set before XGBoost loads: threads that wait asleep, so that these tests stay fast beside other work."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
