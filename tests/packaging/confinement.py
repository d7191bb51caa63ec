"""Applies those parts of the unit's confinement that work without systemd: root, user, system calls, address families, memory."""

import ctypes
import os
import re
import socket
import subprocess

PR_SET_NO_NEW_PRIVS, PR_SET_MDWE, REFUSE_EXEC_GAIN = 38, 65, 1   # linux/prctl.h; MDWE since Linux 6.3
ACT_ALLOW, ACT_EPERM, CMP_EQ = 0x7fff0000, 0x00050001, 4          # seccomp.h
CLONE_NEWNS = 0x20000

libc = ctypes.CDLL(None, use_errno=True)


class _Comparison(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


def leave_mounts():
    """Mounts of this process, from here on, are its own and end with it."""
    assert libc.unshare(CLONE_NEWNS) == 0, os.strerror(ctypes.get_errno())
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)


def _settings(unit, name):
    return [line.split("=", 1)[1] for line in open(unit, encoding="utf-8").read().splitlines() if line.startswith(f"{name}=")]


def _expand(words, groups):
    calls = set()
    for word in words:
        calls |= _expand(groups[word], groups) if word.startswith("@") else {word}
    return calls


def allowed_calls(unit):
    """The names that the unit's SystemCallFilter= lines leave, by systemd's own groups."""
    text = subprocess.run(["systemd-analyze", "syscall-filter", "--no-pager"], capture_output=True, text=True, check=True).stdout
    groups = {}
    for block in re.split(r"\n(?=@)", "\n" + text):
        lines = [line.strip() for line in block.strip().splitlines()]
        if lines and lines[0].startswith("@"):
            groups[lines[0]] = [line for line in lines[1:] if line and not line.startswith("#")]
    calls = _expand(["@default"], groups)
    for value in _settings(unit, "SystemCallFilter"):
        named = _expand(value.lstrip("~").split(), groups)
        calls = calls - named if value.startswith("~") else calls | named
    return calls


class Filter:
    """The filter of a unit, made before the root changes and loaded after."""

    def __init__(self, unit):
        self.lib = ctypes.CDLL("libseccomp.so.2")
        self.lib.seccomp_init.restype = ctypes.c_void_p
        self.context = ctypes.c_void_p(self.lib.seccomp_init(ctypes.c_uint32(ACT_EPERM)))
        for name in allowed_calls(unit) - {"socket"}:
            number = self.lib.seccomp_syscall_resolve_name(name.encode())
            if number >= 0:
                assert self.lib.seccomp_rule_add(self.context, ctypes.c_uint32(ACT_ALLOW), number, 0) == 0, name
        number = self.lib.seccomp_syscall_resolve_name(b"socket")
        for family in _settings(unit, "RestrictAddressFamilies")[0].split():
            equal = _Comparison(0, CMP_EQ, getattr(socket, family), 0)
            assert self.lib.seccomp_rule_add_array(self.context, ctypes.c_uint32(ACT_ALLOW), number, 1, ctypes.byref(equal)) == 0

    def load(self):
        if self.lib.seccomp_load(self.context) != 0:
            raise OSError("the filter cannot be loaded")


def confine(root, uid, calls):
    """A function for Popen's preexec_fn."""
    def enter():
        os.chroot(root)
        os.chdir("/")
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        libc.prctl(PR_SET_MDWE, REFUSE_EXEC_GAIN, 0, 0, 0)
        if calls is not None:
            calls.load()
    return enter
