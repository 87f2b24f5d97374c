#!/bin/sh
# Compiles aec.wasm from aecodec/native, to the file given or to the one beside this script. It takes clang and wasm-ld,
# on Debian `apt-get install clang lld`; the committed file is of clang 14. SIMD, but none of the relaxed kind: iOS
# refuses a module that has any.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../aecodec/native"
exports=
for name in prepared_size prepare plan run check_tables open read start write; do
  exports="$exports -Wl,--export=aec_$name"
done
# shellcheck disable=SC2086
exec "${CLANG:-clang}" --target=wasm32 -Os -msimd128 -mbulk-memory -nostdlib -Wall -Wextra -Werror \
  -Wl,--no-entry $exports -Wl,--export=__heap_base -Wl,--stack-first -Wl,-z,stack-size=131072 -Wl,--strip-all \
  -o "${1:-$here/aec.wasm}" networks.c range_coder.c
