"""Responses as real servers send them, and a strict parser for those that the proxy forwards."""

import re

REFUSED = (502, None)
OK = (200, b"hello")


def _head(*lines, status="HTTP/1.1 200 OK", body=b"hello"):
    return "\r\n".join([status, *lines]).encode("latin-1") + b"\r\n\r\n" + body


def _sized(*lines, status="HTTP/1.1 200 OK"):
    return _head("Content-Length: 5", *lines, status=status)


def _chunked(body, *lines):
    return _head("Transfer-Encoding: chunked", *lines, body=body)


# Name of the case: the answer's bytes, after which the server closes, and the status and body that reach the client.
ANSWERS = {
    "plain": (_sized(), OK),
    "chunked": (_chunked(b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"), OK),
    "until-close": (_head(), OK),
    # The status line.
    "status-999": (_sized(status="HTTP/1.1 999 Request denied"), (999, b"hello")),
    "status-600": (_sized(status="HTTP/1.1 600 x"), (600, b"hello")),
    "status-colon": (_sized(status="HTTP/1.1 404: x"), (404, b"hello")),
    "status-tab": (_sized(status="HTTP/1.1\t200\tOK"), OK),
    "two-blanks": (_sized(status="HTTP/1.1  200  OK"), OK),
    "lower-version": (_sized(status="http/1.1 200 OK"), OK),
    "no-reason": (_sized(status="HTTP/1.1 200"), OK),
    "control-in-reason": (_sized(status="HTTP/1.1 200 O\x01K\x7f"), OK),
    "high-byte-in-reason": (_sized(status="HTTP/1.1 200 caf\xe9"), OK),
    "empty-lines-first": (b"\r\n\n" + _sized(), OK),
    "status-20": (_sized(status="HTTP/1.1 20 OK"), REFUSED),
    "status-2000": (_sized(status="HTTP/1.1 2000 OK"), REFUSED),
    "http2": (_sized(status="HTTP/2 200 OK"), REFUSED),
    "icecast": (_sized(status="ICY 200 OK"), REFUSED),
    "ssh": (b"SSH-2.0-OpenSSH_9.2\r\n", REFUSED),
    "html": (b"<html>hello</html>\n", REFUSED),
    # Line ends.
    "bare-lf": (_sized("A: b").replace(b"\r\n", b"\n"), OK),
    "mixed-lf": (b"HTTP/1.1 200 OK\nContent-Length: 5\r\nA: b\n\r\nhello", OK),
    "folded": (_sized("A: b", " c", "\td"), OK),
    "folded-length": (_head("Content-Length:", " 5"), OK),
    "folded-first": (_head(" A: b", "Content-Length: 5"), OK),
    # Fields.
    "blank-before-colon": (_head("Content-Length : 5"), OK),
    "blank-in-name": (_sized("X Frame Options: DENY"), OK),
    "high-byte-in-name": (_sized("X-Caf\xe9: 1"), OK),
    "control-in-name": (_sized("X\x01: 1"), OK),
    "empty-name": (_sized(": nothing"), OK),
    "control-in-value": (_sized("A: b\x01c\x7f"), OK),
    "nul-in-value": (_sized("A: b\0c"), OK),
    "bare-cr-in-value": (_sized("A: b\rc"), OK),
    "no-colon": (_sized("P3P CP=NOI"), OK),
    "folded-no-colon": (_sized("nonsense", " more: of it"), OK),
    "status-line-twice": (_sized("HTTP/1.1 200 OK"), OK),
    "fields-300": (_sized(*(f"X-{number}: y" for number in range(300))), OK),
    "connection-parameters": (_sized("Connection: Keep-Alive; timeout=5"), OK),
    "connection-blank": (_sized("Connection: keep alive"), OK),
    "connection-quoted": (_sized('Connection: "close"'), OK),
    "connection-100-options": (_sized("Connection: " + ", ".join(f"x{number}" for number in range(100))), OK),
    # Framing.
    "length-twice": (_sized("Content-Length: 5"), OK),
    "length-list": (_head("Content-Length: 5, 5"), OK),
    "length-zeros": (_sized("Content-Length: 005"), OK),
    "length-empty": (_head("Content-Length:"), OK),
    "identity": (_sized("Transfer-Encoding: identity"), OK),
    "identity-until-close": (_head("Transfer-Encoding: identity"), OK),
    "coding-empty": (_sized("Transfer-Encoding:"), OK),
    "coding-twice": (_chunked(b"5\r\nhello\r\n0\r\n\r\n", "Transfer-Encoding: chunked"), OK),
    "coding-list": (_head("Transfer-Encoding: identity, chunked", body=b"5\r\nhello\r\n0\r\n\r\n"), OK),
    "coding-old": (_head("Transfer-Encoding: chunked", status="HTTP/1.0 200 OK", body=b"5\r\nhello\r\n0\r\n\r\n"), OK),
    "lengths-differ": (_sized("Content-Length: 6"), REFUSED),
    "list-differs": (_head("Content-Length: 5, 6"), REFUSED),
    "length-negative": (_head("Content-Length: -5"), REFUSED),
    "length-plus": (_head("Content-Length: +5"), REFUSED),
    "length-huge": (_head("Content-Length: 18446744073709551616"), REFUSED),
    "length-and-chunked": (_chunked(b"5\r\nhello\r\n0\r\n\r\n", "Content-Length: 5"), REFUSED),
    "coding-gzip": (_head("Transfer-Encoding: gzip, chunked", body=b"5\r\nhello\r\n0\r\n\r\n"), REFUSED),
    "coding-unknown": (_head("Transfer-Encoding: xchunked"), REFUSED),
    # Chunks.
    "chunk-trailing-blank": (_chunked(b"2 \r\nhe\r\n3\t \r\nllo\r\n0 \r\n\r\n"), OK),
    "chunk-leading-blank": (_chunked(b" 5\r\nhello\r\n 0\r\n\r\n"), OK),
    "chunk-padded": (_chunked(b"00000005  \r\nhello\r\n0\r\n\r\n"), OK),
    "chunk-blank-extension": (_chunked(b"5 ;a=b\r\nhello\r\n0 ; c\r\n\r\n"), OK),
    "chunk-extension-control": (_chunked(b"5;a\x01b\r\nhello\r\n0\r\n\r\n"), OK),
    "chunk-bare-lf": (_chunked(b"2\nhe\n3;x\nllo\r\n0\nT: r\n\n"), OK),
    "chunk-no-last-line": (_chunked(b"5\r\nhello\r\n0\r\n"), OK),
    "trailer": (_chunked(b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"), OK),
    "trailer-of-framing": (_chunked(b"5\r\nhello\r\n0\r\nContent-Length: 9\r\nX-Sum: 1\r\nConnection: close\r\n\r\n"), OK),
    "trailer-bad-name": (_chunked(b"5\r\nhello\r\n0\r\nX Sum: 1\r\nno colon\r\n: x\r\nX\xe9: 1\r\n\r\n"), OK),
    "trailer-folded": (_chunked(b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n 2\r\n\r\n"), OK),
    "trailer-control": (_chunked(b"5\r\nhello\r\n0\r\nX-Sum: a\x01b\0\r\n\r\n"), OK),
    "trailer-long-name": (_chunked(b"5\r\nhello\r\n0\r\n" + b"X" * 300 + b": 1\r\n\r\n"), OK),
}

_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)")
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})((?:;[\t\x20-\x7e\x80-\xff]*)?)")


def _fields(lines):
    fields = []
    for line in lines:
        match = _FIELD.fullmatch(line)
        assert match, f"no field line: {line!r}"
        fields.append((match[1].lower().decode(), match[2].strip(b" \t").decode("latin-1")))
    return fields


def _unchunk(rest):
    body = b""
    while True:
        line, mark, rest = rest.partition(b"\r\n")
        match = _SIZE.fullmatch(line)
        assert mark and match, f"no chunk size: {line!r}"
        size = int(match[1], 16)
        if size == 0:
            break
        assert len(rest) >= size + 2 and rest[size:size + 2] == b"\r\n", f"a chunk of {size} in {rest!r}"
        body, rest = body + rest[:size], rest[size + 2:]
    if rest != b"\r\n":
        trailers, mark, rest = rest.partition(b"\r\n\r\n")
        assert mark, f"the trailer section does not end: {trailers!r}"
        assert not {name for name, _ in _fields(trailers.split(b"\r\n"))} & {"content-length", "transfer-encoding", "connection", "host"}
        rest = b"\r\n" + rest
    assert rest == b"\r\n", f"bytes behind the answer: {rest!r}"
    return body


def read_strictly(answer):
    """(status, [(name, value)], body) of a response until the end of the connection, parsed strictly by RFC 9112."""
    head, mark, rest = answer.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    status = re.fullmatch(rb"HTTP/1\.1 ([1-9][0-9]{2}) [\t\x20-\x7e\x80-\xff]*", lines[0])
    assert mark and status, f"no head: {answer!r}"
    fields = _fields(lines[1:])
    lengths = [value for name, value in fields if name == "content-length"]
    codings = [value for name, value in fields if name == "transfer-encoding"]
    assert len(lengths) + len(codings) <= 1, fields
    if codings:
        assert codings == ["chunked"]
        return int(status[1]), fields, _unchunk(rest)
    assert not lengths or rest[int(lengths[0]):] == b"" and len(rest) == int(lengths[0]), f"{lengths} of {rest!r}"
    return int(status[1]), fields, rest
