// SPDX-License-Identifier: Apache-2.0
#include "process_usage.hpp"

#include <time.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <system_error>

#include <fmt/format.h>

namespace sluice::bench {
namespace {

/// The number behind "<name>" in a file of lines of the kernel's; 0 if it is not there.
std::uint64_t number_in(const std::filesystem::path& file, std::string_view name) {
    std::ifstream in(file);
    for (std::string word; in >> word;) {
        if (word == name) {
            std::uint64_t value = 0;
            in >> value;
            return value;
        }
    }
    return 0;
}

}  // namespace

double cpu_seconds_of(pid_t process) noexcept {
    clockid_t clock{};
    timespec t{};
    if (clock_getcpuclockid(process, &clock) != 0 || clock_gettime(clock, &t) != 0) {
        return 0;
    }
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

std::uint64_t wakeups_of(pid_t process, pid_t but) {
    std::uint64_t sum = 0;
    std::error_code error;
    for (const auto& thread :
         std::filesystem::directory_iterator(fmt::format("/proc/{}/task", process), error)) {
        if (thread.path().filename() != std::to_string(but)) {
            sum += number_in(thread.path() / "status", "voluntary_ctxt_switches:");
        }
    }
    return sum;
}

std::uint64_t huge_page_bytes_of(pid_t process) {
    return 1024 * number_in(fmt::format("/proc/{}/smaps_rollup", process), "AnonHugePages:");
}

}  // namespace sluice::bench
