"""What TCP and UDP carry, out of a draw of decisions: zero means the plainest choice."""

from __future__ import annotations

from .. import dns as build_dns
from .. import http as build_http
from ._arguments import Values

HTTP_PICKS = 20
DNS_PICKS = 24

_METHODS = (b"GET", b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH")
_ODD_METHODS = (b"get", b"GET ", b"GETS", b"G", b"CONNECT", b"TRACE", b"PRI", b"")
_WITH_BODY = (b"POST", b"PUT", b"PATCH")
_PATHS = (b"/", b"/index.html", b"/a", b"/search?q=1", b"/../etc/passwd", b"/" + b"a" * 200)
_LETTERS = b"abcdefghijklmnopqrstuvwxyz0123456789-_/."
_NAMES = (b"a.example", b"example.com", b"", b"www.example.org", b"a" * 63 + b".example")
_RECORDS = (build_dns.A, build_dns.AAAA, build_dns.ANY, build_dns.TXT, build_dns.MX)
_ANSWERS = {build_dns.AAAA: 16, build_dns.MX: 5, build_dns.TXT: 8}


def http(picks: bytes, values: Values) -> bytes:
    """Choose an HTTP/1 request. Picks 0 to 3 and 16 to 19; 4 to 15 for a path."""
    method = values.get("method")
    if method is None:
        odd = _ODD_METHODS[picks[0] % len(_ODD_METHODS)] if picks[0] >= 0xF0 else None
        method = _METHODS[picks[0] & 7] if odd is None else odd
    body = values.get("body", b"a=1" if method in _WITH_BODY else b"")
    is_bare = 0xC0 <= picks[16] < 0xD0
    request = build_http.request(
        method,
        values.get("path", _path(picks)),
        version=values.get("http_version", b"1.0" if picks[2] >= 0xF0 else b"1.1"),
        headers=values.get("headers", _headers(picks)),
        body=body,
        is_folded=values.get("is_folded", picks[16] >= 0xE0),
        line_end=values.get("line_end", b"\n" if is_bare else b"\r\n"),
    )
    times: int = values.get("pipelined", 2 if picks[3] >= 0xF0 else 1)
    request *= times
    most: int = values.get("at_most", _end(picks, request))
    return request[:most]


def _path(picks: bytes) -> bytes:
    if picks[1] < 0xC0:
        return _PATHS[picks[1] % len(_PATHS)]
    return b"/" + bytes(_LETTERS[byte % len(_LETTERS)] for byte in picks[4 : 4 + picks[2] % 13])


def _headers(picks: bytes) -> tuple[bytes, ...]:
    lines = [b"Host: example.com"]
    if picks[3] & 1:
        lines.append(b"User-Agent: curl/8.0")
    if picks[3] & 2:
        lines.append(b"Connection: keep-alive")
    return tuple(lines)


def _end(picks: bytes, request: bytes) -> int:
    # A segment ends where it likes: often in the first words, where filters look. The shortest
    # that a filter takes for a request comes first, for shrinking.
    if picks[17] >= 0x40:
        return len(request)
    words = request.split(b" ")
    method, path = len(words[0]), len(words[1]) if len(words) > 1 else 0
    anywhere = (picks[18] << 8 | picks[19]) % (len(request) + 1)
    return (method + 1, method + 1 + path, method, anywhere)[picks[17] >> 4]


def dns(picks: bytes, values: Values) -> bytes:
    """Choose a DNS query or an answer. Picks 0 to 8; 9 to 23 for addresses."""
    name = values.get("name")
    if name is None:
        name = build_dns.name(_NAMES[picks[0] % len(_NAMES)])
    lies = values.get("is_lying", False)
    miscounts = lies and ("name" in values or not picks[7] & 3)
    if lies and not miscounts:
        name = build_dns.LYING_NAMES[picks[8] % len(build_dns.LYING_NAMES)]
    kind = values.get("record", _RECORDS[picks[1] % len(_RECORDS)])
    is_answer = values.get("is_answer", picks[2] >= 0x80)
    count = 1 + picks[3] % 3 if is_answer else 0
    size = _ANSWERS.get(kind, 4)
    return build_dns.message(
        name,
        kind=kind,
        identification=values.get("identification", picks[4] << 8 | picks[5]),
        flags=build_dns.ANSWER if is_answer else build_dns.QUERY,
        answers=[_record(kind, picks[7 + at : 7 + at + size]) for at in range(count)],
        has_edns=values.get("has_edns", picks[6] >= 0x80),
        questions=0xFFFF if miscounts and not picks[7] & 4 else 1,
        answer_count=0xFFFF if miscounts and picks[7] & 4 else None,
    )


def _record(kind: int, data: bytes) -> bytes:
    if kind == build_dns.TXT:
        return bytes((len(data) - 1,)) + data[1:]
    if kind == build_dns.MX:
        return data[:2] + b"\1a\0"
    return data
