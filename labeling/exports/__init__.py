"""Choices in and out: rows with provenance, JSONL and parquet, a data card, and the way back."""

from .card import data_card
from .columns import COLUMNS, SCHEMA_VERSION, parquet_schema
from .files import export_to_directory
from .importing import ImportProblem, choices_import, rows_read
from .rows import export_rows
from .streams import jsonl_stream, parquet_stream

__all__ = [
    "COLUMNS",
    "SCHEMA_VERSION",
    "ImportProblem",
    "choices_import",
    "data_card",
    "export_rows",
    "export_to_directory",
    "jsonl_stream",
    "parquet_schema",
    "parquet_stream",
    "rows_read",
]
