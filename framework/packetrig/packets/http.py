"""Build HTTP/1 requests as clients send them, and as nobody should."""

from __future__ import annotations

from collections.abc import Sequence


def request(
    method: bytes = b"GET",
    path: bytes = b"/",
    *,
    version: bytes = b"1.1",
    headers: Sequence[bytes] = (b"Host: example.com",),
    body: bytes = b"",
    is_folded: bool = False,
    line_end: bytes = b"\r\n",
) -> bytes:
    """Build a request; a body gets its Content-Length.

    `is_folded` continues each header's value on a line of its own (obsolete since RFC 7230, still
    to be met). `line_end` may be a lone LF, which many servers take.
    """
    lines = [method + b" " + path + b" HTTP/" + version, *headers]
    if body:
        lines.append(b"Content-Length: " + str(len(body)).encode())
    if is_folded:
        lines[1:] = [line.replace(b": ", b":" + line_end + b" ", 1) for line in lines[1:]]
    return line_end.join((*lines, b"", body))
