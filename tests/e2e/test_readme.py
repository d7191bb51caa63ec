"""The commands in README.md do what it says, word for word; only the addresses of the examples are replaced."""

import base64
import json
import os
import re
import subprocess

import pytest

from harness.daemon import ROOT, binary
from harness.loop import INNER, Ends, pages
from harness.process import die_with_parent
from harness.servers import free_port

with open(f"{ROOT}/README.md", encoding="utf-8") as file:
    README = file.read()


def block(word):
    """The lines of the code block that contains this word."""
    return next(lines for lines in re.findall(r"```sh\n(.*?)```", README, re.S) if word in lines)


def _rows():
    """The rows of the table of daily tasks: (task, command)."""
    rows = re.findall(r"^\| ([^|]+) \| `(.*)` \|$", README, re.M)
    return [(task, command.replace("\\|", "|")) for task, command in rows]


class Shell:
    """bash with its own home and the README's functions. `prefix` is the command that enters the file system that holds the home, and `built` the
    directory of the binaries there."""

    def __init__(self, home, address, prefix=(), environment=None, built=None):
        self.home, self.address, self.prefix, self.environment = home, address, prefix, environment
        built = built or os.path.dirname(os.path.abspath(binary()))
        self.functions = "\n".join(line for line in (block("api()") + block("warren add")).splitlines() if re.match(r"\w+\(\)|export ", line))
        self.replacements = {"127.0.0.1:8470": address, "10.2.0.1": INNER, "https://example.com/": f"http://{INNER}/",
                             "http://checkip.amazonaws.com/": f"http://{INNER}/", "build/release/warren ": f"{built}/warren "}

    def run(self, command, timeout=30):
        for old, new in self.replacements.items():
            command = command.replace(old, new)
        environment = {key: value for key, value in (self.environment or os.environ).items() if not key.lower().endswith("_proxy")}
        result = subprocess.run([*self.prefix, "bash", "-c", f"set -e -o pipefail\ncd\n{self.functions}\n{command}"], capture_output=True, text=True,
                                timeout=timeout, env={**environment, "HOME": self.home, "no_proxy": ""}, preexec_fn=die_with_parent)
        assert "urn:warren:problem" not in result.stdout, f"{command}: {result.stdout}"
        assert result.returncode == 0, f"{command}: exit {result.returncode}: {result.stdout}{result.stderr}"
        return result.stdout


@pytest.fixture
def shell(make_daemon, directory):
    """The README's daemon, with its state in ~/warren."""
    line = next(line for line in block("build/release/warrend").splitlines() if line.startswith("build/release/warrend"))
    words = line.removesuffix("&").split()
    assert words[:2] == ["build/release/warrend", "--state-dir"] and os.path.basename(binary()) == "warrend"
    daemon = make_daemon()
    daemon.state_dir = words[2].replace("~", directory)
    daemon.start()
    return Shell(directory, daemon.address)


def test_a_problem_and_a_warning_are_shown_whole(shell, directory):
    with open(f"{directory}/provider.conf", "w", encoding="ascii") as file:
        file.write("[Interface]\nTable = off\nPrivateKey = no\n")
    command = next(line for line in block("provider.conf").splitlines() if "@provider.conf" in line)
    with pytest.raises(AssertionError, match="/line/3"):
        shell.run(command)
    with open(f"{directory}/provider.conf", "w", encoding="ascii") as file:
        file.write(f"[Interface]\nTable = off\nAddress = 10.2.0.2\nPrivateKey = {base64.b64encode(bytes(31) + b'k').decode()}\n")
    assert '"line": 2' in shell.run(command.replace("&wait=up", ""))


def test_a_tunnel_is_put_inside_another(shell):
    document = json.dumps({"spec": {"enabled": False, "interface": {"generate_private_key": True, "addresses": ["10.2.0.2"]}}})
    for id in ("ams-1", "ams-2"):
        shell.run(f"api /v1/tunnels/{id} -X PUT -H 'Content-Type: application/json' -d '{document}'")
    assert shell.run(block('"via"')) == "disabled\n"
    assert '"via":"ams-1"' in shell.run("api /v1/tunnels/ams-2").replace(" ", "")


def test_the_first_block_is_pasted_whole(directory, make_daemon):
    """The daemon has only been started when the first request is made. The build is there already."""
    ends, elsewhere = Ends(), make_daemon().start()
    port = elsewhere.api.create(ends.far(), wait_up=False)["status"]["udp_port"]
    with open(f"{directory}/provider.conf", "w", encoding="ascii") as file:
        file.write(ends.near_conf(port))
    text = re.sub(r"^cmake .*\n", "", block("build/release/warrend"), flags=re.M).replace("build/release/", f"{os.path.dirname(os.path.abspath(binary()))}/")
    done = subprocess.run(["bash", "-c", f"set -e -o pipefail; trap 'kill $!' EXIT; cd\n{text}"], capture_output=True, text=True, timeout=60,
                          preexec_fn=die_with_parent, env={**os.environ, "HOME": directory, "WARREN_LISTEN": "127.0.0.1:0", "no_proxy": "*"})
    assert done.returncode == 0 and '"state": "up"' in done.stdout, done.stdout + done.stderr


def test_the_saved_state_is_for_its_owner_alone(shell, directory):
    shell.run(next(command for task, command in _rows() if task.startswith("save ")))
    assert os.stat(f"{directory}/state.json").st_mode & 0o777 == 0o600


def test_the_lines_about_the_command(shell, directory, make_daemon):
    ends, elsewhere = Ends(), make_daemon().start()
    folder = f"{directory}/tunnels"
    os.mkdir(folder)
    port = elsewhere.api.create(ends.far(), wait_up=False)["status"]["udp_port"]
    for path in (f"{directory}/provider.conf", f"{folder}/ams-1.conf"):
        with open(path, "w", encoding="ascii") as file:
            file.write(ends.near_conf(port))
    # A terminal is asked before something is deleted; top shows one table where there is none.
    lines = [line.split("  #")[0] for line in block("warren add").splitlines()]
    shown = shell.run("\n".join(lines))
    assert re.search(r"ams-1 .*up", shown) and "#token=" in shown, shown


def test_the_commands_of_the_readme(shell, directory):
    use_everything(shell, directory)


def use_everything(shell, directory):
    """Every command after the daemon's start; `directory` is the shell's home as this test sees it."""
    ends, second = Ends(), Ends("-2")
    with pages() as server:
        far, far2 = (_create(shell, directory, pair.far(server.address)) for pair in (ends, second))
        with open(f"{directory}/provider.conf", "w", encoding="ascii") as file:
            file.write(ends.near_conf(far["status"]["udp_port"]))
        with open(f"{directory}/tunnel.json", "w", encoding="ascii") as file:
            file.write(json.dumps({**second.near(far2["status"]["udp_port"]), "id": "ams-2", "labels": {"pool": "eu"}}))
        made = shell.run(next(line for line in block("provider.conf").splitlines() if "@provider.conf" in line))
        assert '"state": "up"' in made
        shell.replacements["127.0.0.1:40123"] = re.search(r'"(127\.0\.0\.1:\d+)"', made).group(1)
        for line in block("curl -x").splitlines():
            assert shell.run(line) == "hello through the tunnel\n", line
        _pools(shell)
        _day_to_day(shell)
        shell.run("curl -sS -f -H \"Authorization: Bearer $(cat ~/warren/admin.token)\" http://127.0.0.1:8470/v1/version")


def _pools(shell):
    shell.replacements["127.0.0.1:3128"] = f"127.0.0.1:{free_port()}"
    for line in block("/v1/pools").splitlines():
        shown = shell.run(line)
        if line.startswith("curl"):
            assert shown == "hello through the tunnel\n", line
        elif ".members_up" in line:
            assert shown == "1\n"
        elif "pool show" in line:
            assert re.search(r"^eu .*\n.*^ams-1 +up ", shown, re.M | re.S), shown
        elif "pool rotate" in line:
            assert shown == "1 of eu will choose anew\n"


def _create(shell, directory, document):
    with open(f"{directory}/far.json", "w", encoding="ascii") as file:
        json.dump(document, file)
    return json.loads(shell.run("api /v1/tunnels -H 'Content-Type: application/json' --data-binary @far.json"))


# What each output must contain; a task that is not listed must only succeed.
ANSWERS = {
    "list tunnels": r"ams-1\tup\t127\.0\.0\.1:\d+\n", "create one from JSON": r"^127\.0\.0\.1:\d+\n$", "read statistics": r'"bytes_received": [1-9]',
    "read all statistics": r'"connections_total": [1-9]', "change a tunnel in place": r"in_place", "label it": r'"pool": "eu"',
    "ask which address the world sees": r"^192\.0\.2\.7\n$", "cut them": r"^\d+\n$", "list pools": r"^ID +STATE",
    "enable it (`false` disables it)": r"up|handshaking", "ping through it": r'"avg": \d', "export it as a .conf": r"PrivateKey = \S{44}\n",
    "watch events": r"event: tunnel\.", "restore them": r'"unchanged": 4', "create a token for Prometheus": r"^\S{20,}\n$",
    "scrape metrics": r"wireguard_sent_bytes_total\{", "delete one": r"^$", "delete all with a label": r"^1\n$",
}


def _ask_for_the_address(shell, command):
    """Of a far end that says it is 192.0.2.7."""
    with pages(text=b"192.0.2.7\n") as site:
        change = json.dumps({"spec": {"forwards": Ends().far(site.address)["spec"]["forwards"]}})
        shell.run(f"api /v1/tunnels/far -X PATCH -H 'Content-Type: application/merge-patch+json' -d '{change}'")
        return shell.run(command)


def _day_to_day(shell):
    rows = _rows()
    assert len(rows) >= 12 and ANSWERS.keys() <= {task for task, _ in rows}
    for task, command in rows:
        if task == "watch events":
            # The stream never ends: read it for two seconds, in which a tunnel changes.
            command = ("( sleep 0.5; api /v1/tunnels/ams-1 -X PATCH -H 'Content-Type: application/merge-patch+json' "
                       "-d '{\"labels\": {\"x\": \"y\"}}' >/dev/null ) &\n"
                       f"{command} --max-time 2 || [ $? = 28 ]")
        if task == "ask which address the world sees":
            output = _ask_for_the_address(shell, command)
        else:
            output = shell.run(command)
        assert re.search(ANSWERS.get(task, ""), output), f"{task}: {command}: {output}"
