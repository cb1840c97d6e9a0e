"""The dearest step for each input of benches/step.rs, in instructions, as callgrind counts them.

    step.py BINARY          prints a line `input NAME STEP INSTRUCTIONS` for each input and kind of step

A run of valgrind for each kind of step: it counts only inside the steps, and dumps what it has counted at the end of each.
"""

import collections
import pathlib
import re
import subprocess
import sys
import tempfile

# The functions of benches/step.rs that are one step each.
STEPS = ("on_bytes", "flush")


def symbols(binary):
    """The names in the binary: of each step, and of the marker between two inputs."""
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
        if name == "step::mark":
            found["mark"].append(mangled)
    return found


def main():
    binary = sys.argv[1]
    names = symbols(binary)
    missing = [step for step in (*STEPS, "mark") if not names[step]]
    if missing:
        sys.exit(f"step.py: not in the binary (inlined, or renamed): {' '.join(missing)}")
    kinds = {mangled: kind for kind, all_ in names.items() for mangled in all_}
    for step in STEPS:
        for name, cost in dearest_of(step, binary, names, kinds).items():
            print(f"input {name} {step} {cost}")


def dearest_of(step, binary, names, kinds):
    """By input. A run of its own: callgrind counts nothing when two functions toggle its collecting."""
    with tempfile.TemporaryDirectory() as place:
        command = ["valgrind", "--tool=callgrind", "--demangle=no", f"--callgrind-out-file={place}/out", "--collect-atstart=no"]
        command += [f"--dump-before={mangled}" for mangled in names["mark"]]
        for mangled in names[step]:
            command += [f"--toggle-collect={mangled}", f"--dump-after={mangled}"]
        run = subprocess.run([*command, binary], capture_output=True, text=True)
        if run.returncode:
            sys.exit(f"step.py: {run.stdout[-500:]}{run.stderr[-500:]}")
        inputs = iter(re.findall(r"^input (\S+)$", run.stdout, re.M))
        dumps = sorted((path for path in pathlib.Path(place).glob("out.*")), key=lambda path: int(path.suffix[1:]))
        dearest, current = {}, None
        for path in dumps:
            text = path.read_text(errors="replace")
            trigger = re.search(r"^desc: Trigger: --dump-(?:before|after)=(\S+)", text, re.M)
            kind = kinds.get(trigger.group(1)) if trigger else None
            if kind == "mark":
                current = next(inputs, None)
            elif kind and current:
                cost = int(re.search(r"^totals: (\d+)", text, re.M).group(1))
                dearest[current] = max(dearest.get(current, 0), cost)
    if next(inputs, None) is not None or not any(dearest.values()):
        sys.exit(f"step.py: not every input was seen, or nothing was counted in {step}")
    return dearest


if __name__ == "__main__":
    main()
