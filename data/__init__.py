"""Datasets: LMDB folders, synthetic words, loaders. Names load on first use, so that importing the package is free."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from data.reader import LmdbReader
    from data.writer import LmdbWriter

__all__ = ["LmdbReader", "LmdbWriter"]


def __getattr__(name: str) -> Any:
    if name == "LmdbReader":
        from data.reader import LmdbReader

        return LmdbReader
    if name == "LmdbWriter":
        from data.writer import LmdbWriter

        return LmdbWriter
    raise AttributeError(f"module 'data' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
