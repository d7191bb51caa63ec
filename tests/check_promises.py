#!/usr/bin/env python3
"""Every code of a promise that the sources cite stands in docs/promises.md, and every code there has a test that carries it."""
import pathlib
import re
import sys

root = pathlib.Path(__file__).resolve().parent.parent
FOLDERS = ("api", "daemon", "ipc", "netstack", "sandbox", "service", "tests", "tunnel")
CITED = re.compile(r"\b([PSWIXALDF][0-9]{1,2})\b")           # W16 in a comment
NAMED = re.compile(r"(?:\b|_)([pswixaldfPSWIXALDF][0-9]{1,2})_")  # w16_ in the name of a test
SUFFIXES = {".c", ".h", ".py"}

listed = re.findall(r"^\| ([PSWIXALDF][0-9]{1,2}) \|", (root / "docs/promises.md").read_text(encoding="utf-8"), re.MULTILINE)
tested, faults = set(), []
for path in sorted(path for folder in FOLDERS for path in (root / folder).rglob("*") if path.suffix in SUFFIXES):
    if path == pathlib.Path(__file__).resolve():
        continue
    text = path.read_text(encoding="utf-8")
    comments = "\n".join(re.findall(r"/\*.*?\*/|\"\"\".*?\"\"\"|#.*?$", text, re.DOTALL | re.MULTILINE))
    cited = set(CITED.findall(comments))
    if path.parts[len(root.parts)] == "tests":
        names = {code.upper() for line in re.findall(r"^(?:static void|def) (\w+)", text, re.MULTILINE) for code in NAMED.findall(line)}
        cited |= names
        tested |= cited
    faults += [f"{path.relative_to(root)} cites {code}, which docs/promises.md does not have" for code in sorted(cited - set(listed))]
faults += [f"docs/promises.md has {code} twice" for code in sorted({code for code in listed if listed.count(code) > 1})]
faults += [f"no test carries {code}" for code in listed if code not in tested]
print("\n".join(faults))
sys.exit(bool(faults))
