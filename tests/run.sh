#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0

# tests/run.sh [--all] [--histories N]
#
# Without flags, what CI runs: lint, format, all tests with GCC, each header alone, and the threaded
# tests under ThreadSanitizer. --all: also GCC optimised, Clang, ASan with UBSan, minutes of fuzzing,
# all of TSan, no exceptions, llama.cpp under its adapter, and 10000 deterministic histories in place
# of 1000. Logs and JUnit files: build/log.
#
# The last line is "N passed, N failed" over all jobs, in tests; a job that fails otherwise (build,
# lint, format) counts as one failure.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2

usage() { sed -n '4,12s/^# \{0,1\}//p' "tests/run.sh"; }

all=0
histories=
while (($#)); do
    case $1 in
    --all) all=1 ;;
    --histories)
        [[ ${2-} =~ ^[0-9]+$ ]] || { usage >&2; exit 2; }
        histories=$2
        shift
        ;;
    -h | --help)
        usage
        exit 0
        ;;
    *)
        usage >&2
        exit 2
        ;;
    esac
    shift
done
((all)) && : "${histories:=10000}"
export SLUICE_HISTORIES=${histories:-${SLUICE_HISTORIES:-1000}}

source tests/setup.sh
sluice_setup build test clang || exit 1

logs=build/log
rm -rf "$logs"
mkdir -p "$logs"
CMAKE_BUILD_PARALLEL_LEVEL=$(nproc)
export CMAKE_BUILD_PARALLEL_LEVEL
# With -g the working directory is part of ccache's key; the consumer test builds in another one.
export CCACHE_NOHASHDIR=1
# CTest's limit per test. More histories take their time.
timeout=120
((SLUICE_HISTORIES > 1000)) && timeout=3600
passed=0
failed=0

# job NAME COMMAND...: runs it with its output in a log, prints a line, adds up the tests.
job() {
    local name=$1 start=$SECONDS status=0 ok=0 bad=0 skipped=0 junit=$logs/$1.xml note=
    shift
    junit=$PWD/$junit "$@" >"$logs/$name.log" 2>&1 </dev/null || status=$?
    if [[ -s $junit ]]; then
        local head
        # The attributes of the one testsuite element stand in the first lines.
        head=$(head -n 12 "$junit" | tr '\n' ' ')
        local -A n=([tests]=0 [failures]=0 [skipped]=0 [disabled]=0)
        local key
        for key in "${!n[@]}"; do
            [[ $head =~ [[:space:]]$key=\"([0-9]+)\" ]] && n[$key]=${BASH_REMATCH[1]}
        done
        bad=${n[failures]}
        skipped=$((n[skipped] + n[disabled]))
        ok=$((n[tests] - bad - skipped))
        note="$ok passed, $bad failed"
        ((skipped)) && note+=", $skipped skipped"
    fi
    if ((status != 0 && bad == 0)); then
        bad=1
    fi
    passed=$((passed + ok))
    failed=$((failed + bad))
    local word=ok
    if ((bad)); then
        word=FAILED
    elif [[ -s $logs/$name.skip ]]; then
        word=skipped
        note=$(<"$logs/$name.skip")
    fi
    printf '%-8s %-12s %5ds  %s\n' "$word" "$name" $((SECONDS - start)) "$note"
    if ((bad)); then
        tail -n 40 "$logs/$name.log" | sed 's/^/    /'
        echo "    (all of it: $logs/$name.log)"
    fi
}

sources() {
    local name
    { git ls-files -co --exclude-standard 2>/dev/null ||
        find include src cuda examples tests -type f 2>/dev/null; } |
        while read -r name; do
            [[ $name =~ \.(c|h|cpp|hpp|cu|cuh)$ && -f $name ]] && echo "$name"
        done
}

lint() {
    local check status=0
    for check in tests/lint/*.py; do
        python3 "$check" --self-test && python3 "$check" . || status=1
    done
    tests/setup_test.sh || status=1
    return $status
}

format() {
    # Versions format differently; the tree is formatted with this one.
    if ! command -v clang-format-14 >/dev/null; then
        echo "clang-format-14 is not installed" >"$logs/format.skip"
        return 0
    fi
    local -a files
    mapfile -t files < <(sources)
    clang-format-14 --dry-run --Werror "${files[@]}"
}

# preset NAME [TARGET [CTEST ARGS...]]: configures, builds, tests.
preset() {
    local name=$1 target=${2:-all}
    shift
    (($#)) && shift
    cmake --preset "$name" &&
        cmake --build --preset "$name" --target "$target" &&
        { [[ ! ${flag-} ]] || flag_reached "build/$name" "$flag"; } &&
        "${launch[@]}" ctest --preset "$name" --timeout "$timeout" -j "$(nproc)" \
            --output-junit "$junit" "$@"
}

# A sanitizer that some object was built without finds nothing there.
flag_reached() {
    ! grep '"command":' "$1/compile_commands.json" | grep -v -e "$2" ||
        { echo "the above were compiled without $2"; return 1; }
}

# headers PRESET: each public header alone.
headers() { cmake --build --preset "$1" --target all_verify_interface_header_sets; }

release() {
    # A folder of its own: that of the preset is what users build, without tests.
    cmake --preset release -B build/release-tests -D SLUICE_BUILD_TESTS=ON &&
        cmake --build build/release-tests &&
        ctest --test-dir build/release-tests --timeout "$timeout" -j "$(nproc)" \
            --output-on-failure --output-junit "$junit" --no-tests=error
}

# Clang 16's ThreadSanitizer cannot map its shadow where the kernel randomises more than 28 bits.
launch=()
tsan() {
    local bits
    bits=$(cat /proc/sys/vm/mmap_rnd_bits 2>/dev/null || echo 28)
    if ((bits > 28)) && setarch "$(uname -m)" -R true 2>/dev/null; then
        launch=(setarch "$(uname -m)" -R)
    fi
    flag=-fsanitize=thread preset tsan "$@"
    local status=$?
    launch=()
    return $status
}

# A minute for each target on its corpus and on what it leads to; in the asan preset's folder. What
# it finds is kept beside the logs.
fuzz() {
    local target corpus status=0
    cmake --preset asan &&
        cmake --build --preset asan --target sluice_wire_fuzz sluice_options_fuzz || return
    for target in wire options; do
        corpus=$(mktemp -d) || return
        cp "tests/fuzz/corpus/$target/"* "$corpus"
        # A library that libfabric brings along would catch what the sanitizers have to see.
        IPATH_NO_BACKTRACE=1 PATH=/usr/lib/llvm-16/bin:$PATH \
            "build/asan/tests/fuzz/sluice_${target}_fuzz" -max_total_time=60 \
            -timeout=5 -rss_limit_mb=1024 -artifact_prefix="$logs/$target-" -print_final_stats=1 \
            "$corpus" || status=1
        rm -rf "$corpus"
    done
    return $status
}

# llama.cpp itself under its adapter.
llama_cpp() {
    local python
    python=$(tests/adapters/llama_cpp_setup.sh | tail -n 1) && [[ $python ]] ||
        { echo "llama-cpp-python cannot be installed here" >"$logs/llama_cpp.skip"; return 0; }
    SLUICE_LLAMA_PYTHON=$python ctest --preset dev -L '^engine$' --output-junit "$junit"
}

begin=$SECONDS
job lint lint
job format format
job gcc preset dev
job headers headers dev
if ((all)); then
    job gcc-release release
    job clang preset clang
    job clang-headers headers clang
    flag=-fsanitize=address,undefined job asan preset asan
    job fuzz fuzz
    job tsan tsan
    job noexcept preset noexcept
    job llama_cpp llama_cpp
else
    job tsan tsan sluice_tsan_tests -L '^tsan$'
fi

echo "$SLUICE_HISTORIES histories, $((SECONDS - begin)) s"
echo "$passed passed, $failed failed"
((failed == 0))
