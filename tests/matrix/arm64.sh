#!/usr/bin/env bash
# Lays out Debian's Python for 64-bit Arm and the wheels that aecodec needs in FOLDER, to run under qemu-user:
#
#     apt-get install qemu-user-static gcc-aarch64-linux-gnu libc6-dev-arm64-cross
#     bash tests/matrix/arm64.sh FOLDER
#     python -m tests.matrix --arm64 FOLDER
#
# On a Debian system (12, whose Python is 3.11), with its own package sources; nothing outside FOLDER is changed.
set -euo pipefail
folder=$(mkdir -p "$1" && cd "$1" && pwd)
mkdir -p "$folder"/{lists/partial,cache/archives/partial,packages,root,wheels,site}
apt=(apt-get -qq -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o Dir::State::status=/dev/null
    -o "Dir::State::lists=$folder/lists" -o "Dir::Cache=$folder/cache" -o APT::Sandbox::User=root)
"${apt[@]}" update
(cd "$folder/packages" && "${apt[@]}" download python3.11-minimal libpython3.11-minimal libpython3.11-stdlib libc6 \
    libgcc-s1 libstdc++6 libexpat1 zlib1g libssl3 libffi8 liblzma5 libbz2-1.0 libcrypt1 libuuid1)
for package in "$folder"/packages/*.deb; do
    dpkg -x "$package" "$folder/root"
done
platforms=()
for platform in manylinux2014 manylinux_2_17 manylinux_2_27 manylinux_2_28; do
    platforms+=(--platform "${platform}_aarch64")
done
python3 -m pip download -q --no-deps --only-binary=:all: --python-version 3.11 --implementation cp --abi cp311 --abi abi3 \
    "${platforms[@]}" -d "$folder/wheels" numpy pillow safetensors zstandard
for wheel in "$folder"/wheels/*.whl; do
    python3 -m zipfile -e "$wheel" "$folder/site"
done
qemu-aarch64-static -L "$folder/root" "$folder/root/usr/bin/python3.11" -c 'import platform; print(platform.machine())'
