# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash

# Installs what a build needs on Debian and its relatives. Sourced; call
#   sluice_setup build [test] [clang]
# Does nothing, and does not even call apt-get, when all is there.

SLUICE_BUILD_PACKAGES=(g++ cmake ninja-build ccache pkg-config libabsl-dev libfmt-dev libfabric-dev
    libcli11-dev nlohmann-json3-dev libxxhash-dev)
SLUICE_TEST_PACKAGES=(libcatch2-dev python3 clang-format-14 doxygen)
SLUICE_CLANG_PACKAGES=(clang-16 libclang-rt-16-dev llvm-16)

# Whether a package, or the same thing from elsewhere, is there.
sluice_have() {
    case $1 in
    cmake)
        local v
        v=$(cmake --version 2>/dev/null | sed -n '1s/^cmake version \([0-9.]*\).*/\1/p')
        sluice_at_least "$v" 3.25
        ;;
    ninja-build) command -v ninja >/dev/null ;;
    g++ | ccache | pkg-config | python3 | clang-format-14 | doxygen) command -v "$1" >/dev/null ;;
    clang-16) command -v clang++-16 >/dev/null ;;
    libcatch2-dev)
        local v
        v=$(dpkg-query -W -f '${db:Status-Abbrev}${Version}' libcatch2-dev 2>/dev/null)
        { [[ $v == ii* ]] && sluice_at_least "${v#ii }" 3; } ||
            pkg-config --exists 'catch2 >= 3' 2>/dev/null ||
            pkg-config --exists 'catch2-with-main >= 3' 2>/dev/null
        ;;
    *)
        [[ $(dpkg-query -W -f '${db:Status-Abbrev}' "$1" 2>/dev/null) == ii* ]] ||
            pkg-config --exists "$(sluice_module_of "$1")" 2>/dev/null
        ;;
    esac
}

# The pkg-config module that shows that a library is there.
sluice_module_of() {
    case $1 in
    libabsl-dev) echo absl_statusor ;;
    libfmt-dev) echo fmt ;;
    libfabric-dev) echo libfabric ;;
    libcli11-dev) echo CLI11 ;;
    nlohmann-json3-dev) echo nlohmann_json ;;
    libxxhash-dev) echo libxxhash ;;
    *) echo "$1" ;;
    esac
}

# sluice_at_least HAVE WANT: compares the first two numbers of dotted versions.
sluice_at_least() {
    local have=${1#*:} want=$2
    [[ $have =~ ^([0-9]+)(\.([0-9]+))? ]] || return 1
    local have_major=${BASH_REMATCH[1]} have_minor=${BASH_REMATCH[3]:-0}
    local want_major=${want%%.*} want_minor=0
    [[ $want == *.* ]] && want_minor=${want#*.}
    ((have_major > want_major || (have_major == want_major && have_minor >= want_minor)))
}

# sluice_backports_entry ROOT CODENAME
#
# Prints a source entry for CODENAME-backports that differs from the machine's own Debian entry in
# nothing but the suite, so mirror and keyring stay what the administrator chose. First line: the
# suffix of the file to put it in. Fails if there is no Debian entry.
sluice_backports_entry() {
    local root=$1 codename=$2 best
    local -a deb822=() oneline=()
    local f
    for f in "$root"/etc/apt/sources.list.d/*.sources; do
        [[ -f $f ]] && deb822+=("$f")
    done
    for f in "$root"/etc/apt/sources.list "$root"/etc/apt/sources.list.d/*.list; do
        [[ -f $f ]] && oneline+=("$f")
    done

    # Others publish a suite of the same name. Debian's own entry is the one with the archive
    # keyring, or with the -updates suite, or with a URI that ends in /debian.
    best=$(
        {
            ((${#deb822[@]})) && sluice_read_deb822 "$codename" "${deb822[@]}"
            ((${#oneline[@]})) && sluice_read_oneline "$codename" "${oneline[@]}"
        } | sort -t $'\t' -k1,1nr -s | head -n 1 | cut -f 2-
    )
    [[ $best ]] || return 1
    # Line breaks travelled as \001.
    tr '\001' '\n' <<<"$best"
}

# One line per matching stanza: score, tab, entry.
sluice_read_deb822() {
    local codename=$1
    shift
    awk -v codename="$codename" '
        function flush(    i, key, value, n, words, types, main, suite, score, out, off) {
            types = main = suite = score = off = 0
            out = "sources\001Types: deb"
            for (i = 1; i <= count; ++i) {
                key = tolower(keys[i]); value = values[i]
                n = split(value, words, /[ \t\001]+/)
                if (key == "types") { while (n) if (words[n--] == "deb") types = 1 }
                else if (key == "components") { while (n) if (words[n--] == "main") main = 1 }
                else if (key == "suites") {
                    for (; n; --n) {
                        if (words[n] == codename) suite = 1
                        if (words[n] == codename "-updates") score += 2
                    }
                }
                else if (key == "enabled") { if (tolower(words[1] words[2]) ~ /^(no|false|off|0)/) off = 1 }
                else if (key ~ /^x-/) continue
                else {
                    if (key == "signed-by" && value ~ /debian-archive/) score += 4
                    if (key == "uris" && value ~ /\/debian\/?($|[ \001])/) score += 1
                    out = out "\001" keys[i] ":" value
                }
            }
            if (types && main && suite && !off)
                print score "\t" out "\001Suites: " codename "-backports\001Components: main"
            count = 0
        }
        FNR == 1 { flush() }
        { sub(/\r$/, "") }
        /^#/ { next }
        /^[ \t]*$/ { flush(); next }
        /^[ \t]/ { if (count) values[count] = values[count] "\001" $0; next }
        { keys[++count] = substr($0, 1, index($0, ":") - 1); values[count] = substr($0, index($0, ":") + 1) }
        END { flush() }
    ' "$@"
}

sluice_read_oneline() {
    local codename=$1
    shift
    awk -v codename="$codename" '
        { sub(/\r$/, ""); sub(/#.*/, "") }
        $1 != "deb" { next }
        {
            line = $0
            sub(/^[ \t]*deb[ \t]+/, "", line)
            options = ""
            if (substr(line, 1, 1) == "[") {
                options = substr(line, 1, index(line, "]")) " "
                line = substr(line, index(line, "]") + 1)
            }
            n = split(line, part)
            if (part[1] ~ /^cdrom:/) next
            if (part[2] == codename "-updates") updates[part[1]] = 1
            if (part[2] != codename) next
            main = 0
            for (i = 3; i <= n; ++i) if (part[i] == "main") main = 1
            if (!main) next
            score = 0
            if (options ~ /debian-archive/) score += 4
            if (part[1] ~ /\/debian\/?$/) score += 1
            uri[++found] = part[1]; base[found] = score
            entry[found] = "list\001deb " options part[1] " " codename "-backports main"
        }
        END { for (i = 1; i <= found; ++i) print base[i] + (uri[i] in updates ? 2 : 0) "\t" entry[i] }
    ' "$@"
}

# The newest libcatch2-dev of at least version 3 that apt knows, from whatever suite.
sluice_catch2_version() {
    local version
    while read -r _ _ version _; do
        if sluice_at_least "$version" 3; then
            echo "$version"
            return
        fi
    done < <(apt-cache madison libcatch2-dev 2>/dev/null)
}

# Adds the suite that has Catch2 3, where the distribution itself has an older one.
sluice_add_backports() {
    local id codename entry file
    id=$(. /etc/os-release && echo "${ID-}")
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME-}")
    if [[ $id != debian || ! $codename ]]; then
        echo "setup: this distribution has no package of Catch2 3; install Catch2 3 yourself" >&2
        return 1
    fi
    if ! entry=$(sluice_backports_entry "" "$codename"); then
        echo "setup: found no Debian entry in /etc/apt to derive $codename-backports from" >&2
        return 1
    fi
    file=/etc/apt/sources.list.d/sluice-backports.${entry%%$'\n'*}
    echo "setup: adding $codename-backports for Catch2 3, in $file"
    "${SLUICE_ROOT[@]}" tee "$file" <<<"${entry#*$'\n'}" >/dev/null || return 1
    # Only this entry: the others were fetched a moment ago.
    if ! sluice_apt update -o Dir::Etc::sourcelist="$file" -o Dir::Etc::sourceparts=- \
        -o APT::Get::List-Cleanup=0 --error-on=any || [[ ! $(sluice_catch2_version) ]]; then
        # Left in place, the entry would break every later apt-get update.
        "${SLUICE_ROOT[@]}" rm -f "$file"
        echo "setup: the Debian mirror of this machine does not have $codename-backports with Catch2 3;" \
            "add a mirror that has it to /etc/apt and run this again" >&2
        return 1
    fi
}

sluice_apt() {
    "${SLUICE_ROOT[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Acquire::Retries=3 \
        -o DPkg::Lock::Timeout=300 "$@" </dev/null >>"$SLUICE_APT_LOG" 2>&1
}

sluice_setup() {
    local group package version
    local -a wanted=() missing=() install=()
    for group in "$@"; do
        case $group in
        build) wanted+=("${SLUICE_BUILD_PACKAGES[@]}") ;;
        test) wanted+=("${SLUICE_TEST_PACKAGES[@]}") ;;
        clang) wanted+=("${SLUICE_CLANG_PACKAGES[@]}") ;;
        *)
            echo "setup: unknown group $group" >&2
            return 2
            ;;
        esac
    done
    for package in "${wanted[@]}"; do
        sluice_have "$package" || missing+=("$package")
    done
    ((${#missing[@]})) || return 0

    if ! command -v apt-get >/dev/null; then
        echo "setup: no apt-get here. Needed, under Debian's names: ${missing[*]}"
        echo "setup: going on; the build says what it does not find"
        return 0
    fi
    SLUICE_ROOT=()
    if ((EUID != 0)); then
        if ! command -v sudo >/dev/null; then
            echo "setup: missing: ${missing[*]}" >&2
            echo "setup: not root and no sudo; run this as root once, or install the packages" >&2
            return 1
        fi
        SLUICE_ROOT=(sudo)
        # Without a terminal nobody can type a password.
        [[ -t 0 ]] || SLUICE_ROOT+=(-n)
    fi

    echo "setup: installing ${missing[*]}"
    SLUICE_APT_LOG=$(mktemp "${TMPDIR:-/tmp}/sluice-setup.XXXXXX")
    # A source that cannot be reached need not be one that we need; the install decides.
    sluice_apt update || echo "setup: apt-get update had errors, going on"
    for package in "${missing[@]}"; do
        if [[ $package == libcatch2-dev ]]; then
            [[ $(sluice_catch2_version) ]] || sluice_add_backports || return 1
            # With the version named, neither -t nor a pin is needed.
            version=$(sluice_catch2_version)
            package=libcatch2-dev=$version
        fi
        install+=("$package")
    done
    # A dpkg that was interrupted before refuses everything until it has finished.
    [[ $(dpkg --audit 2>/dev/null) ]] && "${SLUICE_ROOT[@]}" dpkg --configure -a \
        </dev/null >>"$SLUICE_APT_LOG" 2>&1
    if ! sluice_apt install -y --no-install-recommends "${install[@]}"; then
        tail -n 20 "$SLUICE_APT_LOG" >&2
        echo "setup: apt-get could not install the packages; its output is in $SLUICE_APT_LOG" >&2
        return 1
    fi
    rm -f "$SLUICE_APT_LOG"
    hash -r
}
