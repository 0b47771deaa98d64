"""The dashboards' own modules are scripts beside each other; let tests import them."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "deploy/grafana"))
