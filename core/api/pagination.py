"""Pages by cursor: constant time however far one reads, and stable while rows are added."""

from typing import Any

from rest_framework import exceptions, pagination


class CursorPagination(pagination.CursorPagination):
    ordering: str | tuple[str, ...] = "-pk"
    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 500

    def paginate_queryset(self, *args: Any, **kwargs: Any) -> list[Any] | None:
        """Raises NotFound for a cursor that was not made here: one that points behind "abc" of a number, for example."""
        try:
            return super().paginate_queryset(*args, **kwargs)
        except ValueError as error:
            if self.cursor is None or self.cursor.position is None:
                raise
            raise exceptions.NotFound(self.invalid_cursor_message) from error
