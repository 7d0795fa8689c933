"""Oxen's client, without two packages that it imports and that oxherd never needs.

`import oxen` takes 0.46 to 0.53 s of processor time, in each start of the writer and in each
command that reads the dataset; without polars (data frames) and requests (the login to Oxen's hub)
it takes 0.21 to 0.23 s. Empty modules stand in for the two while Oxen is imported, so what uses
them in Oxen does not work here.
"""

import sys
from types import ModuleType
from typing import Any

_STAND_INS = {"polars": {"DataFrame": object}, "requests": {}}
"""The packages, with the names that Oxen takes from them when it is imported: for annotations."""


def _imported() -> Any:
    absent = _STAND_INS.keys() - sys.modules.keys()
    for name in absent:
        sys.modules[name] = ModuleType(name)
        vars(sys.modules[name]).update(_STAND_INS[name])

    try:
        import oxen
        import oxen.user
    finally:
        for name in absent:
            del sys.modules[name]

    return oxen


oxen = _imported()
