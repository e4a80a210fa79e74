// SPDX-License-Identifier: Apache-2.0
#include "node_process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string_view>

#include <fmt/format.h>

#include <sluice/base/status.hpp>

namespace sluice::bench {
namespace {

constexpr std::string_view says_before_address = "sluice node: serving ";
constexpr int start_timeout_ms = 60'000;  // all of its memory is touched first
constexpr int end_timeout_ms = 5'000;

absl::Status failed(std::string_view what) {
    return absl::UnavailableError(fmt::format("{}: {}", what, std::strerror(errno)));
}

}  // namespace

absl::StatusOr<std::unique_ptr<node_process>> node_process::start(
    const node_process_options& options) {
    std::unique_ptr<node_process> n(new node_process);
    SLUICE_RETURN_IF_ERROR(n->write_secret());
    SLUICE_RETURN_IF_ERROR(n->launch(options));
    SLUICE_RETURN_IF_ERROR(n->await_address());
    return n;
}

node_process::~node_process() {
    if (child_ > 0) {
        // Its output closes when it ends; one that hangs is not waited for.
        kill(child_, SIGTERM);
        pollfd ended{output_, 0, 0};
        if (poll(&ended, 1, end_timeout_ms) <= 0) {
            kill(child_, SIGKILL);
        }
        waitpid(child_, nullptr, 0);
    }
    if (output_ >= 0) {
        close(output_);
    }
    if (!secret_file_.empty()) {
        unlink(secret_file_.c_str());
    }
}

absl::Status node_process::write_secret() {
    std::error_code error;
    std::string name =
        (std::filesystem::temp_directory_path(error) / "sluice-secret-XXXXXX").string();
    const int fd = mkostemp(name.data(), O_CLOEXEC);  // readable by this user only
    if (fd < 0) {
        return failed("no file for a secret in " + name);
    }
    secret_file_ = name;
    std::array<std::byte, 32> secret;
    const bool ok = getrandom(secret.data(), secret.size(), 0) == ssize_t{secret.size()} &&
                    write(fd, secret.data(), secret.size()) == ssize_t{secret.size()};
    const absl::Status status = ok ? absl::OkStatus() : failed("cannot write " + name);
    close(fd);
    return status;
}

absl::Status node_process::launch(const node_process_options& options) {
    std::vector<std::string> words = options.command;
    words.insert(words.end(),
                 {"--listen", "tcp://127.0.0.1:0", "--memory", std::to_string(options.memory),
                  "--secret-file", secret_file_, "--provider", options.provider});
    std::vector<char*> argv;
    for (std::string& word : words) {
        argv.push_back(word.data());
    }
    argv.push_back(nullptr);
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) {
        return failed("pipe");
    }
    const pid_t parent = getpid();
    child_ = fork();
    if (child_ == 0) {
        // Only what is safe between fork and exec in a process with threads.
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() == parent && dup2(ends[1], STDOUT_FILENO) >= 0) {
            execv(argv[0], argv.data());
        }
        _exit(127);
    }
    const absl::Status status = child_ < 0 ? failed("fork") : absl::OkStatus();
    close(ends[1]);
    output_ = ends[0];
    return status;
}

absl::Status node_process::await_address() {
    std::string text;
    while (text.find('\n') == std::string::npos) {
        pollfd news{output_, POLLIN, 0};
        if (poll(&news, 1, start_timeout_ms) == 0) {
            return absl::UnavailableError("the node process does not get ready");
        }
        std::array<char, 512> piece;
        const ssize_t got = read(output_, piece.data(), piece.size());
        if (got <= 0) {
            return absl::UnavailableError(
                "the node process ended before it served; it may have said why");
        }
        text.append(piece.data(), static_cast<std::size_t>(got));
    }
    if (text.rfind(says_before_address, 0) != 0) {
        return absl::UnavailableError(
            fmt::format("the node process says '{}'", text.substr(0, text.find('\n'))));
    }
    address_ =
        text.substr(says_before_address.size(), text.find('\n') - says_before_address.size());
    return absl::OkStatus();
}

}  // namespace sluice::bench
