"""Golden files give the same pixels and bytes on every runtime, kernel, coder and block size of this machine.

    python -m tests.matrix                          # every configuration of this machine
    python -m tests.matrix --only torch --each      # those with that word in their name; the hash of every file
    bash tests/matrix/arm64.sh FOLDER               # Python for 64-bit Arm and its wheels, to be emulated
    python -m tests.matrix --arm64 FOLDER

Each configuration runs in its own process, which decodes every golden file and encodes its source again. Differences
from `expected.json` or from the golden file are listed, and the exit code is 1.
"""
