#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0

# The backports entry must be derived from the right one of the sources that machines really have.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

failed=0
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

# expect NAME WANTED: derives from what is in $root, compares, empties $root.
expect() {
    local got
    got=$(sluice_backports_entry "$root" bookworm) || got=none
    if [[ $got != "$2" ]]; then
        printf 'FAILED: %s\n--- wanted\n%s\n--- got\n%s\n' "$1" "$2" "$got"
        failed=1
    fi
    rm -rf "${root:?}/etc"
}

# write FILE: standard input to a file under $root/etc/apt.
write() {
    mkdir -p "$root/etc/apt/sources.list.d"
    cat >"$root/etc/apt/$1"
}

write sources.list.d/debian.sources <<'END'
Types: deb deb-src
# a comment in the middle
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
END
expect "deb822" "sources
Types: deb
URIs: http://mirror.example/debian
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
Suites: bookworm-backports
Components: main"

write sources.list <<'END'
# deb cdrom:[Debian GNU/Linux 12]/ bookworm main
deb [ arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg ] https://mirror.example/debian bookworm main non-free-firmware # here
deb-src https://mirror.example/debian bookworm main
deb https://mirror.example/debian-security bookworm-security main
END
expect "one line, options" "list
deb [ arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg ] https://mirror.example/debian bookworm-backports main"

write sources.list <<'END'
deb http://mirror.example/debian/ bookworm main
deb http://mirror.example/debian/ bookworm-updates main
END
expect "one line, plain" "list
deb http://mirror.example/debian/ bookworm-backports main"

# A third party with the same suite and component, sorted before Debian's file.
write sources.list.d/acme.sources <<'END'
Types: deb
URIs: https://apt.acme.example
Suites: bookworm
Components: main
Signed-By: /usr/share/keyrings/acme.gpg
END
write sources.list.d/acme.list <<'END'
deb [signed-by=/usr/share/keyrings/acme.gpg] https://pkg.acme.example/linux/debian bookworm main
END
write sources.list.d/debian.sources <<'END'
Types: deb
URIs: mirror+file:/etc/apt/mirrors/debian.list
Suites: bookworm bookworm-updates
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc
 -----END PGP PUBLIC KEY BLOCK-----
END
expect "third parties, key in the entry" "sources
Types: deb
URIs: mirror+file:/etc/apt/mirrors/debian.list
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc
 -----END PGP PUBLIC KEY BLOCK-----
Suites: bookworm-backports
Components: main"

write sources.list.d/debian.sources <<'END'
Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm bookworm-updates
Components: main
END
write sources.list <<'END'
deb http://on.example/debian bookworm main
END
expect "a disabled entry" "list
deb http://on.example/debian bookworm-backports main"

write sources.list <<'END'
deb http://mirror.example/debian trixie main
END
expect "another release" none

expect "no entry at all" none

for pair in "3.25.1 3.25" "3.7.1-0.4~bpo12+1 3" "4 3.25" "1:16.0 3"; do
    sluice_at_least "${pair% *}" "${pair#* }" || { echo "FAILED: $pair"; failed=1; }
done
for pair in "2.13.10-1 3" "3.24.9 3.25" "x 1"; do
    ! sluice_at_least "${pair% *}" "${pair#* }" || { echo "FAILED: $pair"; failed=1; }
done

((failed)) || echo "all as expected"
exit "$failed"
