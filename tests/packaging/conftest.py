"""The packages under test: this build's, and the same one under a higher version to upgrade to."""

import os
import re
import shutil
import signal
import subprocess

import pytest

from debian import Root, bootstrap

BUILD = os.environ.get("BUILD_DIR", os.path.realpath(f"{os.path.dirname(os.path.abspath(__file__))}/../../build/release"))


def pytest_configure():
    # In the background SIGINT is ignored, and would be by what is started here, which is ended by it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    if not os.environ.get("WARREN_E2E_LONG"):
        for item in items:
            if "long" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="takes minutes; runs with WARREN_E2E_LONG=1"))


def make_package(directory, version=None):
    """The path of the package that cpack made in `directory`."""
    words = ["cpack", "-G", "DEB", "--config", f"{BUILD}/CPackConfig.cmake", "-B", str(directory)]
    done = subprocess.run(words + (["-R", version] if version else []), cwd=BUILD, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    package, = (name for name in os.listdir(directory) if name.endswith(".deb"))
    return f"{directory}/{package}"


@pytest.fixture(scope="session", autouse=True)
def packager():
    if not (shutil.which("cpack") and shutil.which("dpkg-shlibdeps")):
        pytest.skip("skipped: cpack or dpkg-shlibdeps is not here")


@pytest.fixture(scope="session")
def package(tmp_path_factory):
    return make_package(tmp_path_factory.mktemp("package"))


def _make_later(directory, version, program):
    """The package of a later version, with another program. cpack sets the version of the package alone."""
    package, tree = make_package(directory, version), directory / "tree"
    subprocess.run(["dpkg-deb", "-R", package, tree], check=True)
    (tree / "usr/lib/warren/warrend").write_bytes(program)
    preinst = (tree / "DEBIAN/preinst").read_text()
    (tree / "DEBIAN/preinst").write_text(re.sub("^this=.*", f"this={version}-1", preinst, flags=re.M))
    subprocess.run(["dpkg-deb", "-b", "--root-owner-group", tree, package], check=True, capture_output=True)
    return package


@pytest.fixture(scope="session")
def newer_package(tmp_path_factory):
    """Its program calls itself so (tests/e2e/other_version.c)."""
    with open(f"{BUILD}/tests/warrend_other", "rb") as program:
        return _make_later(tmp_path_factory.mktemp("newer"), "99.0", program.read())


@pytest.fixture(scope="session")
def broken_package(tmp_path_factory):
    """Newer still, and its program is none."""
    return _make_later(tmp_path_factory.mktemp("broken"), "99.1", b"no program")


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    """A fresh Debian, to be copied."""
    path = tmp_path_factory.mktemp("base")
    bootstrap(str(path))
    return path


@pytest.fixture(scope="module")
def make_root(base):
    roots = []

    def make():
        roots.append(Root(base))
        return roots[-1]

    yield make
    for root in roots:
        root.close()
