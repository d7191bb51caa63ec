"""Without a network, lwIP's source from a tarball is enough to configure and build; every other dependency is a package."""

import os
import shutil
import subprocess

import pytest

ROOT = os.path.realpath(f"{os.path.dirname(os.path.abspath(__file__))}/../..")
LWIP = f"{ROOT}/build/lwip"
LIMIT = 300


def offline(*words, cwd=None):
    """Runs a command in a network namespace of its own, which has not even loopback."""
    done = subprocess.run(["unshare", "--map-root-user", "--net", *words], cwd=cwd, capture_output=True, text=True, timeout=LIMIT, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(name="tarball")
def make_tarball(tmp_path):
    if not os.path.exists(f"{LWIP}/src/core/tcp.c"):
        pytest.skip("skipped: this build was given its lwIP by -DLWIP_SOURCE_DIR")
    if offline("true")[0] != 0:
        pytest.skip("skipped: no network namespace can be made here")
    path = tmp_path / "lwip.tar.xz"
    subprocess.run(["tar", "-c", "-J", "-f", path, "-C", os.path.dirname(LWIP), "lwip/src"], check=True, timeout=LIMIT)
    return path


def test_a_tarball_is_enough(tarball, tmp_path):
    code, output = offline(f"{ROOT}/scripts/fetch-lwip", "--from", str(tarball), str(tmp_path / "lwip"))
    assert code == 0, output
    build = tmp_path / "build"
    code, output = offline("cmake", "-S", ROOT, "-B", str(build), "-G", "Ninja", f"-DLWIP_SOURCE_DIR={tmp_path}/lwip", "-DBUILD_TESTING=OFF",
                           "-DCMAKE_BUILD_TYPE=RelWithDebInfo")
    assert code == 0, output
    code, output = offline("cmake", "--build", str(build), "--target", str(build / "lwip" / "lwip.o"))
    assert code == 0, output


def test_another_version_is_refused(tarball, tmp_path):
    code, output = offline(f"{ROOT}/scripts/fetch-lwip", "--from", str(tarball), str(tmp_path / "lwip"))
    assert code == 0, output
    header = tmp_path / "lwip/src/include/lwip/init.h"
    header.write_text(header.read_text().replace("LWIP_VERSION_MINOR      1", "LWIP_VERSION_MINOR      2"))
    code, output = offline("cmake", "-S", ROOT, "-B", str(tmp_path / "build"), "-G", "Ninja", f"-DLWIP_SOURCE_DIR={tmp_path}/lwip")
    assert code != 0
    assert "is lwIP 2.2.3, and warren needs 2.1.3: scripts/fetch-lwip" in " ".join(output.split())


def test_a_tarball_that_is_none_is_refused(tmp_path):
    broken = tmp_path / "broken.tar.xz"
    broken.write_bytes(b"no archive")
    done = subprocess.run([f"{ROOT}/scripts/fetch-lwip", "--from", broken, tmp_path / "lwip"], capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 1
    assert f"{broken} cannot be unpacked" in done.stderr
    assert os.listdir(tmp_path) == ["broken.tar.xz"], "it leaves nothing behind"


@pytest.mark.parametrize("system, told", [("Darwin", "This system is Darwin"), ("FreeBSD", "This system is FreeBSD")])
def test_other_systems_get_a_sentence(tmp_path, system, told):
    uname = tmp_path / "uname"
    uname.write_text(f"#!/bin/sh\necho {system}\n")
    uname.chmod(0o755)
    done = subprocess.run([f"{ROOT}/scripts/quickstart"], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and told in done.stderr


def test_a_system_without_apt_is_told_what_it_needs(tmp_path):
    for name in ("bash", "sh", "uname", "nproc", "dirname", "mkdir", "env", "cat"):
        (tmp_path / name).symlink_to(shutil.which(name))
    done = subprocess.run(["bash", f"{ROOT}/scripts/quickstart"], env={"PATH": str(tmp_path)}, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and "install packages with apt" in done.stderr and "libsodium-dev" in done.stderr
