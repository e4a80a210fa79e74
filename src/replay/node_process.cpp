// SPDX-License-Identifier: Apache-2.0
#include "node_process.hpp"

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

namespace sluice::replay {
namespace {

using clock = std::chrono::steady_clock;

constexpr std::chrono::seconds start_patience{60};  // all of its memory is touched meanwhile
constexpr std::chrono::seconds end_patience{2};
constexpr std::string_view greeting = "sluice node: serving ";

absl::Status no_process(const char* what) {
    return absl::ResourceExhaustedError(
        fmt::format("a memory node could not be started: {}: {}", what, std::strerror(errno)));
}

/// In the child, between fork and exec: only what is safe in a copy of a threaded process.
[[noreturn]] void become(char* const* arguments, int output, pid_t parent) noexcept {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    // The parent may have ended before that.
    if (getppid() == parent && dup2(output, STDOUT_FILENO) >= 0) {
        execv(arguments[0], arguments);
    }
    _exit(127);
}

/// Waits for something to read. \return false: not in time
bool readable(int fd, clock::time_point until) noexcept {
    for (;;) {
        const auto left =
            std::chrono::duration_cast<std::chrono::milliseconds>(until - clock::now()).count();
        pollfd p{fd, POLLIN, 0};
        const int n = poll(&p, 1, left > 0 ? static_cast<int>(left) : 0);
        if (n >= 0 || errno != EINTR) {
            return n > 0;
        }
    }
}

}  // namespace

absl::StatusOr<node_process> node_process::start(const node_process_options& options) {
    std::array<std::string, 12> words{
        options.program.empty() ? "/proc/self/exe" : options.program,
        "node",
        "--listen",
        "tcp://127.0.0.1:0",
        "--memory",
        fmt::format("{}", options.memory),
        "--secret-file",
        options.secret_file,
        "--provider",
        options.provider,
        "--drain-timeout",
        "0",  // whoever ends it wants nothing of it any more
    };
    std::array<char*, words.size() + 1> arguments{};
    for (std::size_t i = 0; i < words.size(); ++i) {
        arguments[i] = words[i].data();
    }
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) {
        return no_process("pipe");
    }
    const pid_t parent = getpid();
    const pid_t child = fork();
    if (child == 0) {
        become(arguments.data(), ends[1], parent);
    }
    close(ends[1]);
    if (child < 0) {
        close(ends[0]);
        return no_process("fork");
    }
    return node_process(child, ends[0]);
}

node_process::node_process(node_process&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), output_(std::exchange(other.output_, -1)) {}

node_process::~node_process() {
    if (pid_ < 0) {
        return;
    }
    kill(pid_, SIGTERM);
    const clock::time_point until = clock::now() + end_patience;
    std::array<char, 256> ignored{};
    bool ended = false;
    while (!ended && readable(output_, until)) {
        ended = read(output_, ignored.data(), ignored.size()) <= 0;
    }
    if (!ended) {
        kill(pid_, SIGKILL);
    }
    while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
    close(output_);
}

absl::StatusOr<std::string> node_process::address() {
    const clock::time_point until = clock::now() + start_patience;
    std::string text;
    while (text.find('\n') == std::string::npos) {
        if (!readable(output_, until)) {
            return absl::DeadlineExceededError(
                fmt::format("a memory node (process {}) does not serve after {} s", pid_,
                            start_patience.count()));
        }
        std::array<char, 256> piece{};
        const ssize_t n = read(output_, piece.data(), piece.size());
        if (n == 0) {
            return absl::UnavailableError("a memory node ended before it served");
        }
        if (n > 0) {
            text.append(piece.data(), static_cast<std::size_t>(n));
        }
    }
    const std::string_view line = std::string_view(text).substr(0, text.find('\n'));
    if (!line.starts_with(greeting)) {
        return absl::UnavailableError(
            fmt::format("a memory node said '{}' in place of its address", line));
    }
    return std::string(line.substr(greeting.size()));
}

}  // namespace sluice::replay
