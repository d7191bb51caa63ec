#!/usr/bin/env python3
"""Every module of the service and of the sender of TCP has a test of its name: fails on one that has none, and on an exception that is not needed."""
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDERS = ("service", "netstack/sender")
EXCEPTIONS = {
    "service_read": "reads what the service's parts tell; test_service has it",
    "wgquick_read": "test_wgquick has the three files of wgquick.h",
    "wgquick_value": "test_wgquick",
    "wgquick_write": "test_wgquick",
    "fleet_state": "test_keeper",
    "kept_shard": "a shard of the keeper: test_keeper",
    "object_fetch": "test_finder",
    "object_plan": "test_fleet_memory",
    "published": "test_publisher",
    "token_keeper": "test_fleet_tokens",
    "token_record": "test_fleet_tokens",
    "token_writer": "test_fleet_tokens",
    "up_waiter": "test_writer",
    "write_job": "a write of the writer: test_writer",
}


def main():
    tests = {path.stem for path in (ROOT / "tests").rglob("test_*.c")}
    modules = {path.stem: path for folder in FOLDERS for path in (ROOT / folder).rglob("*.c")}
    faults = [f"{path.relative_to(ROOT)}: there is no test_{name}.c in tests/, and no exception in {pathlib.Path(__file__).name}"
              for name, path in sorted(modules.items()) if f"test_{name}" not in tests and name not in EXCEPTIONS]
    faults += [f"tests/{pathlib.Path(__file__).name}: {name} is no exception: it has a test, or is no module"
               for name in sorted(EXCEPTIONS) if f"test_{name}" in tests or name not in modules]
    print("\n".join(faults))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
