"""How a chaos program ends."""

import json
import sys
from collections.abc import Mapping
from typing import Any


def told(report: Mapping[str, Any]) -> int:
    """Print the report as JSON; the exit status, which is 1 if it counts a problem."""
    sys.stdout.write(json.dumps(report, indent=2) + "\n")

    return 1 if report["problem_count"] else 0
