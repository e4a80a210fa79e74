#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0

# From a bare machine to a first result: installs what is missing, builds the command, replays a
# trace over two memory nodes, which are processes of their own. Arguments go to `sluice replay`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

source tests/setup.sh
sluice_setup build

command=build/release/bin/sluice
log=build/quickstart.log
mkdir -p build

# quiet WHAT COMMAND...: output goes to the log, and to the terminal only on failure.
quiet() {
    local what=$1
    shift
    if ! "$@" >"$log" 2>&1; then
        tail -n 40 "$log" >&2
        echo "quickstart: $what failed; all of its output is in $log" >&2
        exit 1
    fi
}

if [[ ! -f build/release/build.ninja ]]; then
    echo "quickstart: building, once; this takes a few minutes"
    quiet "the configuration" cmake --preset release
fi
quiet "the build" cmake --build --preset release --target sluice_cmd

status=0
"$command" replay "$@" || status=$?

echo
if ((status == 0)); then
    echo "Done. This was: $command replay${*:+ $*}"
    echo "Next: $command replay --help, and examples/ for code to start from."
else
    echo "quickstart: $command replay${*:+ $*} returned $status" >&2
fi
exit "$status"
