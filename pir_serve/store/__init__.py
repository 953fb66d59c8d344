"""Where suspended trajectories are kept."""

import sys

# sqlite_utils imports pandas wherever that is installed, for a helper that we never call: 70 MB and seconds at start.
_is_masked = "pandas" not in sys.modules
if _is_masked:
    sys.modules["pandas"] = None  # type: ignore[assignment]
try:
    import sqlite_utils as _sqlite_utils
finally:
    if _is_masked:
        del sys.modules["pandas"]

assert _sqlite_utils
