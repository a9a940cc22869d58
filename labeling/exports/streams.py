"""Rows as bytes, a batch at a time: memory does not grow with the export."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from .columns import COLUMNS, parquet_schema


def jsonl_stream(batches: Iterable[list[dict]]) -> Iterator[bytes]:
    """One JSON object on a line, keys in column order."""
    for batch in batches:
        yield b"".join(json.dumps({name: row[name] for name in COLUMNS}, ensure_ascii=False).encode() + b"\n" for row in batch)


def parquet_stream(batches: Iterable[list[dict]]) -> Iterator[bytes]:
    """A parquet file with one row group for each batch; valid (and empty) without rows."""
    sink = _Sink()
    with pq.ParquetWriter(sink, parquet_schema(), compression="zstd") as writer:
        for batch in batches:
            writer.write_table(parquet_table(batch))
            yield sink.take()
    yield sink.take()


def parquet_table(rows: list[dict]) -> pa.Table:
    return pa.Table.from_pylist([{name: row[name] for name in COLUMNS} for row in rows], schema=parquet_schema())


class _Sink(io.RawIOBase):
    """What parquet writes, kept until it is taken. Parquet writes strictly forward, so nothing has to be seekable."""

    def __init__(self) -> None:
        super().__init__()
        self._buffer = bytearray()
        self._written = 0

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        self._buffer += data
        self._written += len(data)
        return len(data)

    def tell(self) -> int:
        return self._written

    def take(self) -> bytes:
        taken, self._buffer = bytes(self._buffer), bytearray()
        return taken
