#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0

# tests/adapters/llama_cpp_setup.sh [FOLDER]
#
# Builds llama.cpp, without a GPU, into a virtual environment (build/llama_cpp) for the test of the
# adapter: llama-cpp-python from PyPI, of the version that is tested with. Takes minutes the
# first time, and nothing if it is there. The last line is the interpreter, for SLUICE_LLAMA_PYTHON.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

version=0.3.36
folder=${1:-build/llama_cpp}
python=$folder/bin/python

there() {
    local found
    found=$("$python" -c 'import llama_cpp; print(llama_cpp.__version__)' 2>/dev/null) &&
        [[ $found == "$version" ]]
}

if ! there; then
    [[ -x $python ]] || python3 -m venv "$folder"
    # Nothing but the library, and no instructions that only this machine has.
    flags=(-DGGML_NATIVE=OFF -DLLAVA_BUILD=OFF -DLLAMA_OPENSSL=OFF)
    for part in APP EXAMPLES SERVER TESTS TOOLS; do
        flags+=("-DLLAMA_BUILD_$part=OFF")
    done
    # From source, whatever wheels there are: with these flags. pip keeps what it has built.
    CMAKE_ARGS="${flags[*]}" "$folder/bin/pip" install --quiet --no-binary llama-cpp-python \
        "llama-cpp-python==$version"
    there || { echo "llama_cpp_setup: $python cannot import llama_cpp $version" >&2; exit 1; }
fi
realpath --no-symlinks "$python"
