"""A soak of a fleet: three machines in network namespaces, each with a node and a member of etcd, 1,000 tunnels, writes, and traffic on 50. First
each fault of a list, then faults by chance. The far ends' captures judge each: a row a fault, and 1 as the exit code when a criterion failed. Needs
root."""

import argparse
import os
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [f"{ROOT}/tests/e2e"]
sys.dont_write_bytecode = True

from harness import fleet_faults as faults  # noqa: E402
from harness import namespace, process  # noqa: E402
from harness.machines import Machines  # noqa: E402

WHOLE = faults.MOVES + 1  # seconds after which each tunnel is served again
LIST = ((faults.NodeKilled, 20), (faults.PlacerKilled, 20), (faults.NodeStopped, 20), (faults.ControlStopped, 20), (faults.CutFromEtcd, 20),
        (faults.CutFromOthers, 20), (faults.CompactedMeanwhile, 25), (faults.MemberKilled, 20), (faults.MemberStopped, 20), (faults.LeasesRevoked, 5),
        (faults.QuorumLost, 40), (faults.Full, 40), (faults.NodeStopped, 300), (faults.QuorumLost, 300))
COLUMNS = ("fault", "seconds", "whole", "longest", "others", "touched", "twins", "late", "lost", "writes")
MEANING = """whole: seconds from the beginning of the fault until the last tunnel that it hit was served by another node (or from its end until all
were served, where no node could); longest: of a tunnel that was hit, without data; others: of a tunnel of another node; touched:
tunnels of other nodes that were made anew; twins: tunnels with on_isolation stop for which a node sent that had them no more; late:
those for which one sent after its validity; lost: acknowledged writes."""


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/soak --fleet", description=__doc__, epilog=MEANING, allow_abbrev=False)
    parser.add_argument("--preset", default="release", help="what is built and run")
    parser.add_argument("--seconds", type=float, default=1200, help="of faults by chance, after the list")
    parser.add_argument("--no-list", action="store_true", help="only faults by chance")
    parser.add_argument("--apart", action="store_true", help="the machines' clocks are an hour apart")
    parser.add_argument("--tunnels", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", default=f"{ROOT}/build/soak-fleet", help="folder of the logs")
    options = parser.parse_args()
    os.environ.setdefault("WARREND", f"{ROOT}/build/{options.preset}/warrend")
    return options


def chosen(machines, options):
    """Each fault is made when the one before is over: which node is the placer is known then."""
    if not options.no_list:
        for number, (kind, seconds) in enumerate(LIST):
            process.wait_until(machines.ledger.is_at_rest, timeout=300, interval=0.5, what="nothing moves")
            yield kind(machines, sorted(machines.nodes)[number % 3], seconds)
    end = time.monotonic() + options.seconds
    for fault in faults.random_faults(machines, options.seed):
        if time.monotonic() > end:
            return
        yield fault


def why_wrong(row):
    wrong = [column for column in faults.WRONG if row[column]]
    return wrong + (["whole"] if row["whole"] > WHOLE else []) + (["others"] if row["others"] > faults.QUIET else [])


def tell(row, wrong=()):
    print("  ".join(f"{row[column]:<24}" if column == "fault" else f"{row[column]:>7}" for column in COLUMNS),
          "  FAILED: " + ", ".join(wrong) if wrong else "", flush=True)


def run(options, directory):
    has_failed = False
    with Machines(directory, options.tunnels, min(50, options.tunnels), options.apart) as machines:
        writer = faults.Writer(machines, options.seed)
        writer.start()
        tell({column: column for column in COLUMNS})
        for fault in chosen(machines, options):
            trial = faults.Trial(machines, writer).run(fault)
            row = trial.row()
            wrong = why_wrong(row)
            tell(row, wrong)
            if wrong:
                has_failed = True
                print(trial.evidence(), flush=True)
        writer.close()
        for node in machines.nodes.values():
            node.check_log()
        print(f"pages: {machines.traffic.count} fetched, {machines.traffic.failures} did not arrive; writes: {writer.acknowledged} acknowledged, "
              f"{writer.refused} refused; datagrams that the witness missed: {machines.witness.lost()}")
    return has_failed


def main():
    options = arguments()
    why = namespace.unavailable()
    if why:
        sys.exit(why)
    os.makedirs(options.output, exist_ok=True)
    sys.exit(run(options, tempfile.mkdtemp(prefix="run-", dir=options.output)))


if __name__ == "__main__":
    main()
