"""OpenVINO without its telemetry; nothing of ours imports `openvino` but through here.

Importing `openvino` (2026.4) reports the import to its vendor's analytics unless a consent file says no, and leaves a
folder in the user's home. Where its telemetry package cannot be imported, it does neither: that import is made to fail.
"""

from __future__ import annotations

import sys
from typing import Any, cast

cast("dict[str, Any]", sys.modules).setdefault("openvino_telemetry", None)

import openvino  # type: ignore[import-untyped]  # noqa: E402  # it has no types; after the line above

__all__ = ["openvino"]
