"""What warren(1), warrend(8) and warrend.json(5) show works as it stands, and what the shells complete is what there is."""

import json
import os
import re
import shutil
import subprocess

import pytest

from harness.certificates import make_certificate
from harness.command import Terminal, environment, program
from harness.daemon import ROOT, binary
from harness.loop import INNER, Ends, pages
from harness.process import die_with_parent, wait_until
from harness.servers import free_port


def _examples(page):
    """What a terminal shows of the blocks of the section EXAMPLES, in order."""
    with open(f"{ROOT}/packaging/{page}", encoding="utf-8") as file:
        section = file.read().split(".Sh EXAMPLES\n")[1].split(".Sh ")[0]
    return "".join(re.findall(r"\.Bd -literal -offset indent\n(.*?)\.Ed\n", section, re.S)).replace("\\e", "\\")


@pytest.fixture
def path(directory):
    """A PATH in which `warren` is the one under test."""
    os.makedirs(f"{directory}/bin")
    os.symlink(os.path.realpath(program()), f"{directory}/bin/warren")
    return f"{directory}/bin:{os.environ['PATH']}"


def test_the_examples_of_the_manual(local_daemon, directory, path):
    replacements = {"https://example.com/": f"http://{INNER}/", "127.0.0.1:8470": local_daemon.address, "10.2.0.1": INNER,
                    "127.0.0.1:3128": f"127.0.0.1:{free_port()}", "127.0.0.1:3129": f"127.0.0.1:{free_port()}",
                    "http://checkip.amazonaws.com/": f"http://{INNER}:81/"}
    # What each output must contain; an example that is not listed must only succeed.
    answers = {"warren add": r"ams-1 created, up", "curl -x": r"^hello through the tunnel\n$", "warren set": r"ams-1 changed",
               "--dry-run": r"\+ create tunnel fra-1(.|\n)*- delete tunnel old", "--prune --yes": r"2 of 2 done", "warren probe": r"ams-1: ok", "exit_ip": r"192\.0\.2\.7",
               "warren ls": r"^fra-1\n$", "load": r"0 created", "health": r"^ready\n$", "warren move": r"^ams-1 is on worker 0\n$", "worker replace": r"up to 10 min",
               "rm --label": r"^1 deleted\n$"}
    # A line that ends with "|" goes on with the next.
    examples = _examples("warren.1").replace("|\n", "| ").splitlines()
    assert len(examples) >= 13 and all(any(key in line for line in examples) for key in answers)
    ends = Ends()
    with pages() as server, pages(text=b"192.0.2.7\n") as teller:
        document = ends.far(server.address)
        document["spec"]["forwards"].append({**document["spec"]["forwards"][0], "name": "address", "listen": f"{INNER}:81",
                                             "target": f"{teller.address[0]}:{teller.address[1]}"})
        far = local_daemon.api.create(document, wait_up=False)
        local_daemon.api.create({**Ends("-old").far(), "id": "old"}, wait_up=False)
        files = {"provider.conf": ends.near_conf(far["status"]["udp_port"]), "tunnels/ams-1.conf": ends.near_conf(far["status"]["udp_port"]),
                 "tunnels/fra-1.conf": Ends().near_conf(1), "tunnels/far.json": json.dumps(document)}
        os.makedirs(f"{directory}/tunnels")
        for name, text in files.items():
            with open(f"{directory}/{name}", "w", encoding="ascii") as file:
                file.write(text)
        for example in examples:
            line = example
            for old, new in replacements.items():
                line = line.replace(old, new)
            result = subprocess.run(["bash", "-c", f"set -e -o pipefail\n{line}"], capture_output=True, text=True, timeout=60, cwd=directory,
                                    preexec_fn=die_with_parent, env=environment(local_daemon.state_dir, PATH=path, no_proxy="", http_proxy=""))
            assert result.returncode == 0, f"{line}: exit {result.returncode}: {result.stdout}{result.stderr}"
            for key, expected in answers.items():
                if key in example:
                    assert re.search(expected, result.stdout), f"{line}: {result.stdout}{result.stderr}"


def test_the_example_of_the_daemons_manual(local_daemon, directory):
    """Pasted whole, but for the second command's port, which the first one's answer tells."""
    make, fetch = _examples("warrend.8").replace("\\\n", "").splitlines()
    ends = Ends()

    def run(command):
        return subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True, timeout=60, cwd=directory, preexec_fn=die_with_parent,
                              env=environment(local_daemon.state_dir, PATH=os.environ["PATH"], no_proxy="", http_proxy="")).stdout
    with pages() as server:
        far = local_daemon.api.create(ends.far(server.address), wait_up=False)
        with open(f"{directory}/provider.conf", "w", encoding="ascii") as file:
            file.write(ends.near_conf(far["status"]["udp_port"]))
        made = json.loads(run(make.replace("/var/lib/warren", local_daemon.state_dir)))
        assert made["id"] == "ams-1" and made["status"]["state"] == "up"
        fetch = fetch.replace("127.0.0.1:40123", made["status"]["listen"][0]).replace("https://example.com/", f"http://{INNER}/")
        assert run(fetch) == "hello through the tunnel\n"


def test_the_example_of_the_configuration(directory):
    """It passes the check, with a certificate where it says."""
    make_certificate(f"{directory}/tls.crt", f"{directory}/tls.key", "warren.example")
    with open(f"{directory}/warrend.json", "w", encoding="ascii") as file:
        file.write(_examples("warrend.json.5").replace("/run/credentials/warrend.service", directory))
    result = subprocess.run([binary(), "--check", "--state-dir", f"{directory}/state", "--config", f"{directory}/warrend.json"], capture_output=True,
                            text=True, timeout=30)
    assert result.returncode == 0 and "in order" in result.stdout, result.stderr


@pytest.fixture
def tunnels(local_daemon):
    for id in ("ams-1", "fra-1"):
        local_daemon.api.create({"id": id, "spec": {"interface": {"generate_private_key": True, "addresses": ["10.2.0.2"]}}}, wait_up=False)
    return local_daemon


# A line, and what is offered for its last word.
LINES = [("warren show a", {"ams-1"}), ("warren rm fra-1 a", {"ams-1"}), ("warren pool ro", {"rotate"}), ("warren hea", {"health"}),
         ("warren --socket {socket} down f", {"fra-1"}), ("warren apply --pr", {"--prune"}), ("warren connections --tunnel f", {"fra-1"})]


def _bash(line, env):
    if not os.path.exists("/usr/share/bash-completion/bash_completion"):
        pytest.skip("bash-completion is not here")
    script = ('. /usr/share/bash-completion/bash_completion; . "$1"; COMP_LINE=$2; COMP_POINT=${#2}; read -ra COMP_WORDS <<<"$2"; '
              'COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _warren; printf "%s\\n" "${COMPREPLY[@]}"')
    argv = ["bash", "-c", script, "bash", f"{ROOT}/packaging/warren.bash-completion", line]
    return subprocess.run(argv, capture_output=True, text=True, timeout=30, env=env).stdout.split()


def _fish(line, env):
    if not shutil.which("fish"):
        pytest.skip("fish is not here")
    offered = subprocess.run(["fish", "-c", f"source {ROOT}/packaging/warren.fish-completion; complete -C '{line}'"], capture_output=True, text=True,
                             timeout=30, env=env)
    return [row.split("\t")[0] for row in offered.stdout.splitlines()]


def _zsh(line, env):
    """zsh completes only on a terminal: what Tab makes of the line."""
    if not shutil.which("zsh"):
        pytest.skip("zsh is not here")
    os.makedirs(f"{env['HOME']}/zsh", exist_ok=True)
    shutil.copy(f"{ROOT}/packaging/warren.zsh-completion", f"{env['HOME']}/zsh/_warren")
    terminal = Terminal(None, columns=300, argv=["zsh", "-f", "-i"], env={**env, "TERM": "dumb"})
    terminal.type("fpath=(~/zsh $fpath); autoload -U compinit; compinit -u -D; PS1='rea''dy> '\n")
    terminal.wait_for("ready> ")
    terminal.clear()
    terminal.type(line + "\t")
    wait_until(lambda: terminal.read() or len(terminal.text().split()) >= len(line.split()) and terminal.text().endswith(" "), what="it is completed")
    terminal.close()
    return [terminal.text().replace("\x08", "").split()[-1]]


@pytest.mark.parametrize("shell", [_bash, _fish, _zsh])
@pytest.mark.parametrize("line,offers", LINES)
def test_completion(tunnels, directory, path, shell, line, offers):
    env = environment(tunnels.state_dir, PATH=path, HOME=directory)
    assert set(shell(line.format(socket=f"{tunnels.state_dir}/api.sock"), env)) == offers


def test_completion_is_quiet_without_a_daemon(directory, path):
    env = environment(f"{directory}/none", PATH=path, HOME=directory)
    for shell in (_bash, _fish):
        assert shell("warren show a", env) == []
