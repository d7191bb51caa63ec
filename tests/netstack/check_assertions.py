#!/usr/bin/env python3
"""Fails when lwIP, as it is compiled here, asserts what netstack/lwip/ASSERTIONS.md does not name, or when that names what lwIP no longer
asserts. Skips (77) without lwIP's source. usage: check_assertions.py COMPILER LWIP_SOURCE UNIT…"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TABLE = ROOT / "netstack/lwip/ASSERTIONS.md"
# LWIP_ERROR is compiled without its text, so its place is taken by a call that keeps it.
KEEP_ERRORS = "-DLWIP_ERROR(message, expression, handler)=do { if (!(expression)) { lwip_error(message); handler; } } while (0)"
CALL = re.compile(r'\b(?:assertion_lwip_failed|lwip_error)\s*\(((?:[^()"]|"(?:[^"\\]|\\.)*"|\([^()]*\))*)\)')


def asserted(compiler, source, unit):
    command = [compiler, "-E", "-P", "-std=gnu11", f"-I{ROOT}", f"-I{ROOT}/netstack/lwip", f"-I{source}/src/include", KEEP_ERRORS,
               f"{source}/src/core/{unit}.c"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for call in CALL.findall(text):
        found = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', call))
        if found:
            yield f"{unit}.c", found


def named():
    for line in TABLE.read_text().splitlines():
        row = re.match(r"\| (\S+\.c), [^|]*\|(.*)\|", line)
        if row:
            for text in re.findall(r"`([^`]*)`", row.group(2)):
                yield row.group(1), text


def main():
    compiler, source, units = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3:]
    if not (source / "src/core/tcp.c").exists():
        print(f"skipped: {source} holds no lwIP")
        return 77
    compiled = {pair for unit in units for pair in asserted(compiler, source, unit)}
    table = set(named())
    for name, text in sorted(compiled - table):
        print(f"{name} asserts what the table does not name: {text}")
    for name, text in sorted(table - compiled):
        print(f"the table names what {name} does not assert: {text}")
    print(f"{len(compiled)} assertions in {len(units)} files")
    return 1 if compiled != table or not compiled else 0


if __name__ == "__main__":
    sys.exit(main())
