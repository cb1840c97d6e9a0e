"""The dearest step for each input of benches/micro/step.rs, in instructions, as callgrind counts them.

    step.py BINARY          prints a line `input NAME STEP INSTRUCTIONS` for each input and kind of step

A run of valgrind for each kind of step: it counts only inside the steps, and dumps what it has counted at the end of each.
"""

import collections
import pathlib
import re
import subprocess
import sys
import tempfile

# The functions of benches/micro/step.rs that are one step each.
STEPS = ("on_bytes", "on_leftover", "flush")


def symbols(binary):
    """The names of each step in the binary."""
    pairs = [
        [line.split(" ", 2)[2] for line in subprocess.run(["nm", *flags, binary], capture_output=True, text=True, check=True).stdout.splitlines() if " t " in line.lower()]
        for flags in ([], ["-C"])
    ]
    found = collections.defaultdict(list)
    for mangled, name in zip(*pairs):
        name = re.sub(r"::h[0-9a-f]{16}$", "", name)
        for step in STEPS:
            if name == f"step::{step}":
                found[step].append(mangled)
    return found


def main():
    binary = sys.argv[1]
    names = symbols(binary)
    missing = [step for step in STEPS if not names[step]]
    if missing:
        sys.exit(f"step.py: not in the binary (inlined, or renamed): {' '.join(missing)}")
    for step in STEPS:
        for name, cost in dearest_of(step, binary, names[step]).items():
            print(f"input {name} {step} {cost}")


def dearest_of(step, binary, names):
    """By input. A run of its own: callgrind counts nothing when two functions toggle its collecting."""
    with tempfile.TemporaryDirectory() as place:
        command = ["valgrind", "--tool=callgrind", "--demangle=no", f"--callgrind-out-file={place}/out", "--collect-atstart=no"]
        for mangled in names:
            command += [f"--toggle-collect={mangled}", f"--dump-after={mangled}"]
        run = subprocess.run([*command, binary], capture_output=True, text=True)
        if run.returncode:
            sys.exit(f"step.py: {run.stdout[-500:]}{run.stderr[-500:]}")
        # Up to which call each input goes.
        inputs = [(name, int(calls)) for name, calls in re.findall(rf"^input (\S+) .*\b{step} (\d+)", run.stdout, re.M)]
        costs = []
        for path in sorted(pathlib.Path(place).glob("out.*"), key=lambda path: int(path.suffix[1:])):
            text = path.read_text(errors="replace")
            if re.search(r"^desc: Trigger: --dump-after=", text, re.M):
                costs.append(int(re.search(r"^totals: (\d+)", text, re.M).group(1)))
    if not inputs or len(costs) != inputs[-1][1]:
        sys.exit(f"step.py: {len(costs)} calls of {step} were counted, and the program made {inputs[-1:]}")
    begins = [0, *(end for _, end in inputs)]
    return {name: max(costs[begin:end], default=0) for begin, (name, end) in zip(begins, inputs)}


if __name__ == "__main__":
    main()
