"""The golden files under every runtime, kernel, coder and cutting at hand: the same pixels, the same bytes.

    python -m tests.matrix                          # every configuration of this machine
    python -m tests.matrix --only torch --each      # those with that word in their name; the hash of every file
    bash tests/matrix/arm64.sh FOLDER               # Debian's Python for 64-bit Arm and NumPy's wheel, to be emulated
    python -m tests.matrix --arm64 FOLDER

Each configuration runs in a process of its own. It decodes every golden file, and encodes its source anew. What differs
from `expected.json` or from the golden file is named, and the exit code is 1.
"""
