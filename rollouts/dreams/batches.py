"""Batches of few sizes."""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")


def filled(rows: list[T]) -> list[T]:
    """With the last one repeated up to the next of few sizes. The libraries below torch keep what they compiled for every size that they have seen; a
    loop that came by every number from 1 to 32 took more than one gigabyte for it."""
    size = len(rows)
    return rows + rows[-1:] * (-size % 4 if size > 2 else 0)
