"""Rectify crops of text: locate the word, sample it flat.

``Rectifier`` needs numpy, OpenCV and ONNX Runtime; ``SpatialTransformer`` and ``LocalizationNetwork``, for training,
need torch. Each is imported when it is first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rectify.framing import Framing
    from rectify.network import LocalizationNetwork, SpatialTransformer
    from rectify.rectifier import Rectified, Rectifier

__version__ = "0.1.0"

__all__ = ["Framing", "LocalizationNetwork", "Rectified", "Rectifier", "SpatialTransformer"]

_HOMES = {
    "Framing": "rectify.framing",
    "LocalizationNetwork": "rectify.network",
    "Rectified": "rectify.rectifier",
    "Rectifier": "rectify.rectifier",
    "SpatialTransformer": "rectify.network",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
