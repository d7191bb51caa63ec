"""The package's contents, without installing it."""

import platform
import re
import shutil
import subprocess

import pytest

EXPOSURE_MAX = 1.1


def run(*words):
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def tree(package, tmp_path_factory):
    directory = tmp_path_factory.mktemp("tree")
    run("dpkg-deb", "-R", package, str(directory))
    return directory


def test_control(package):
    fields = dict(line.split(": ", 1) for line in run("dpkg-deb", "-f", package).splitlines() if re.match(r"[A-Z][\w-]*: ", line))
    assert fields["Package"] == "warren"
    for library in ("libc6", "libsodium23", "libmicrohttpd12", "libsqlite3-0", "libuv1", "libjansson4", "libseccomp2", "libc-ares2", "libcurl3-gnutls"):
        assert re.search(rf"\b{library}\b", fields["Depends"]), fields["Depends"]


def test_files_and_their_modes(package):
    entries = {}
    for line in run("dpkg-deb", "-c", package).splitlines():
        mode, owner, _, _, _, path = line.split(None, 5)
        assert owner == "root/root", line
        entries[path.removeprefix(".")] = mode
    assert entries.pop("/usr/sbin/warrend -> ../lib/warren/warrend") == "lrwxrwxrwx"
    assert [path for path in entries if path.startswith("/usr/lib/warren/")] == ["/usr/lib/warren/", "/usr/lib/warren/warrend"], "it is alone there"
    programs = {"/usr/lib/warren/warrend", "/usr/bin/warren"}
    assert {entries[path] for path in programs} == {"-rwxr-xr-x"}
    for path in ("/lib/systemd/system/warrend.service", "/etc/warren/warrend.json", "/usr/share/man/man8/warrend.8.gz",
                 "/usr/share/man/man5/warrend.json.5.gz", "/usr/share/bash-completion/completions/warrend",
                 "/usr/share/man/man1/warren.1.gz", "/usr/share/bash-completion/completions/warren", "/usr/share/zsh/vendor-completions/_warren",
                 "/usr/share/fish/vendor_completions.d/warren.fish",
                 "/usr/share/warren/openapi.yaml", "/usr/share/warren/grafana-dashboard.json", "/usr/share/warren/prometheus-alerts.yaml",
                 "/usr/share/doc/warren/README.md",
                 "/usr/share/doc/warren/changelog.gz", "/usr/share/doc/warren/changelog.Debian.gz", "/usr/share/doc/warren/copyright"):
        assert entries.pop(path) == "-rw-r--r--", path
    directories = {path for path in entries if path.endswith("/")}
    assert set(entries) - directories == programs
    assert {entries[path] for path in directories} == {"drwxr-xr-x"}


@pytest.mark.parametrize("name", ["lib/warren/warrend", "bin/warren"])
def test_the_program_is_hardened(tree, name):
    """What cmake/Hardening.cmake asks of compiler and linker, seen in the program. The note of CET is not there, because Debian's crt1.o
    lacks it; the landing pads are."""
    program = f"{tree}/usr/{name}"
    assert re.search(r"Type: +DYN \(Position-Independent", run("readelf", "-hW", program))
    segments = run("readelf", "-lW", program)
    assert "GNU_RELRO" in segments and re.search(r"GNU_STACK .* RW +0x", segments), segments
    assert re.search(r"FLAGS_1\).*\bNOW\b.*\bPIE\b", run("readelf", "-dW", program)), "lazy binding, or no PIE"
    symbols = run("readelf", "-W", "--dyn-syms", program)
    assert "__stack_chk_fail" in symbols and len(set(re.findall(r"__(\w+)_chk@", symbols))) >= 5, symbols
    if platform.machine() == "x86_64":
        assert run("objdump", "-d", program).count("endbr64") > (1000 if name == "lib/warren/warrend" else 50)


def test_every_option_is_documented(tree):
    """Manual, completion and the example of the configuration against the program's own help."""
    options = set(re.findall(r"--([a-z][a-z-]*)", run(f"{tree}/usr/sbin/warrend", "--help")))
    manual = run("gzip", "-dc", f"{tree}/usr/share/man/man8/warrend.8.gz")
    keys = run("gzip", "-dc", f"{tree}/usr/share/man/man5/warrend.json.5.gz")
    completion = (tree / "usr/share/bash-completion/completions/warrend").read_text()
    assert len(options) > 12
    for option in options:
        assert rf"Fl \-{option}" in manual, option
        assert f"--{option}" in completion, option
        if option not in ("check", "config", "help", "version"):
            name = option.replace("-", "_")
            assert f"WARREN_{name.upper()}" in manual, option
            assert re.search(rf"\b{name}\b", keys), option


def _names_of_commands(help):
    """The commands of `warren`: ("pool", "ls"), ("", "show") …"""
    found = re.findall(r"^  (?:(pool|token|node|worker) )?([a-z]+) .*$", help.split("COMMAND\n")[1], re.M)
    assert len(found) > 30
    return found


def test_every_command_is_documented(tree):
    """Manual and completions of `warren` against the program's own help."""
    program = f"{tree}/usr/bin/warren"
    manual = run("gzip", "-dc", f"{tree}/usr/share/man/man1/warren.1.gz")
    completions = [(tree / f"usr/share/{path}").read_text() for path in (
        "bash-completion/completions/warren", "zsh/vendor-completions/_warren", "fish/vendor_completions.d/warren.fish")]
    for group, name in _names_of_commands(run(program, "--help")):
        assert re.search(rf"Cm {group} ?{name}\b".replace("Cm  ?", "Cm "), manual), (group, name)
        options = set(re.findall(r"--([a-z][a-z-]*)", run(program, *filter(None, (group, name)), "--help")))
        for option in options:
            assert rf"Fl \-{option}" in manual, (name, option)
        for text in completions:
            assert re.search(rf"\b{name}\b", text), name
            for option in options:
                assert re.search(rf"--{option}\b|-l {option}\b", text), (name, option)


def test_manual_pages_and_scripts_are_well_formed(tree):
    for script in ("preinst", "postinst", "prerm", "postrm"):
        run("sh", "-n", f"{tree}/DEBIAN/{script}")
    for name in ("warrend", "warren"):
        run("bash", "-n", f"{tree}/usr/share/bash-completion/completions/{name}")
    if not shutil.which("mandoc"):
        pytest.skip("skipped: mandoc is not here")
    for page in ("man1/warren.1.gz", "man8/warrend.8.gz", "man5/warrend.json.5.gz"):
        run("mandoc", "-T", "lint", "-W", "warning", f"{tree}/usr/share/man/{page}")


def test_lintian(package):
    if not shutil.which("lintian"):
        pytest.skip("skipped: lintian is not here")
    # A package that is not uploaded to Debian closes no bug there.
    done = subprocess.run(["lintian", "--allow-root", "--fail-on", "error,warning", "--suppress-tags", "initial-upload-closes-no-bugs", package],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_exposure_of_the_unit(tree):
    if not shutil.which("systemd-analyze"):
        pytest.skip("skipped: systemd-analyze is not here")
    unit = f"{tree}/lib/systemd/system/warrend.service"
    report = run("systemd-analyze", "security", "--offline=true", "--no-pager", unit)
    exposure = float(re.search(r"Overall exposure level for warrend\.service: ([0-9.]+)", report).group(1))
    print(f"\nsystemd-analyze security: {exposure}")
    assert exposure <= EXPOSURE_MAX, report
