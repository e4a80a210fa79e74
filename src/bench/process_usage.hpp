// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace sluice::bench {

/// CPU seconds that a process has used so far; 0 if it is gone.
[[nodiscard]] double cpu_seconds_of(pid_t process) noexcept;

/// How often the threads of a process have gone to sleep by themselves, and so were woken, since
/// they started. `but` names a thread that does not count; 0: none.
[[nodiscard]] std::uint64_t wakeups_of(pid_t process, pid_t but = 0);

/// Bytes of a process that lie on huge pages.
[[nodiscard]] std::uint64_t huge_page_bytes_of(pid_t process);

}  // namespace sluice::bench
