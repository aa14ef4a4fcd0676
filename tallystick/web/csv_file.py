"""Files to take away: CSV that spreadsheets of either language open as it was meant."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence

from django.http import StreamingHttpResponse

from tallystick.core import files


class _Line:
    """Where `csv` writes; gives back the line instead of keeping it."""

    def write(self, line: str) -> str:
        return line


def response(name: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> StreamingHttpResponse:
    """The rows as a file, sent as they are read, so that its length does not matter."""
    writer = csv.writer(_Line())

    def lines() -> Iterator[str]:
        # The mark by which spreadsheets recognise UTF-8.
        yield "\ufeff" + writer.writerow(head)
        for row in rows:
            yield writer.writerow([files.cell(value) for value in row])

    answer = StreamingHttpResponse(lines(), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer
