"""How fast are photos read beside another busy process, and what does it cost a machine of its own?

    python experiments/benchmarks/busy.py --ckpt bundled --image photo.jpg [--budget 0.3]

``GOMP_SPINCOUNT`` says how often a waiting thread looks for more to do before it sleeps; 300000 is what GNU OpenMP takes where
nobody sets it, 3000 what ``import dld_spotter`` sets. Processes of each take turns, alone and beside ``--load`` processes that
compute all the time; printed are medians of the milliseconds of an image.
"""

import argparse
import os
import statistics
import subprocess
import sys

COUNTS = ("300000", "30000", "10000", "3000", "1000")
READ = """
import sys, time
from dld_spotter import load
predictor, options = load(sys.argv[1], device="cpu"), {"budget": float(sys.argv[3])}
for _ in range(3):
    predictor.read(sys.argv[2], **options)
began = time.perf_counter()
for _ in range(int(sys.argv[4])):
    predictor.read(sys.argv[2], **options)
print(1000 * (time.perf_counter() - began) / int(sys.argv[4]))
"""


def milliseconds(count: str, options: argparse.Namespace) -> float:
    """Of a reading, in a process of its own."""
    environment = os.environ | {"GOMP_SPINCOUNT": count}
    command = [sys.executable, "-c", READ, options.ckpt, options.image, str(options.budget), str(options.readings)]
    return float(subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ckpt", default="bundled", help="checkpoint (default: %(default)s)")
    parser.add_argument("--image", required=True, help="photo to read")
    parser.add_argument("--budget", type=float, default=0.3, help="relative cost (default: %(default)s)")
    parser.add_argument("--readings", type=int, default=10, help="of each process (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="processes of each count (default: %(default)s)")
    parser.add_argument("--load", type=int, default=1, help="busy processes (default: %(default)s)")
    options = parser.parse_args()
    print("| GOMP_SPINCOUNT | alone, ms | beside busy processes, ms |\n|---|---|---|", flush=True)
    rounds: dict[bool, list[list[float]]] = {}
    for busy in (False, True):
        load = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(options.load * busy)]
        try:
            rounds[busy] = [[milliseconds(count, options) for count in COUNTS] for _ in range(options.rounds)]
        finally:
            for process in load:
                process.kill()
    for count, alone, beside in zip(COUNTS, *(zip(*rounds[busy], strict=True) for busy in (False, True)), strict=True):
        print(f"| {count} | {statistics.median(alone):.0f} | {statistics.median(beside):.0f} |", flush=True)


if __name__ == "__main__":
    main()
