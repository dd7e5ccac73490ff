#!/usr/bin/env python3
"""pair.py: user CPU seconds of one command by two builds of the program, in turn, on one core.

    tools/pair.py OLD NEW [-n RUNS] [--within PERCENT] -- ARGUMENT...

OLD and NEW are programs (build/release/strata of two checkouts); the arguments are theirs. Runs alternate, and so does
which of the two goes first, so that what else the machine does meets both alike; CPU time leaves out waiting. Prints
the medians and how much NEW takes more or less. Exit 1 if NEW's median is more than PERCENT (1) above OLD's.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys


def run(program, arguments):
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    subprocess.run([program] + arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True)
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("-n", type=int, default=11, help="runs of each (11)")
    parser.add_argument("--within", type=float, default=1, help="percent that NEW may take more (1)")
    parser.add_argument("arguments", nargs="+")
    o = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
    times = {"old": [], "new": []}
    try:
        run(o.old, o.arguments)  # the file is in the page cache from here on
        for i in range(o.n):
            for which in ("old", "new") if i % 2 else ("new", "old"):
                times[which].append(run(getattr(o, which), o.arguments))
    except subprocess.CalledProcessError as e:
        sys.exit(f"pair: {e.cmd[0]} failed: {e.stderr.decode(errors='replace').strip()}")
    old, new = (statistics.median(times[k]) for k in ("old", "new"))
    more = 100 * (new / old - 1)
    print(f"old {old:.3f} s, new {new:.3f} s: {more:+.1f} % (best {100 * (min(times['new']) / min(times['old']) - 1):+.1f} %)")
    return 1 if more > o.within else 0


if __name__ == "__main__":
    sys.exit(main())
