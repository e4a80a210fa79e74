// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cerrno>
#include <csignal>
#include <string>
#include <string_view>
#include <vector>

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

namespace sluice_test {

/// A `sluice node` that serves on loopback until it goes out of scope.
class node_process {
 public:
    node_process(const std::string& command, const std::string& secret_file) {
        std::array<int, 2> ends{};
        if (::pipe(ends.data()) != 0) {
            return;
        }
        posix_spawn_file_actions_t actions;
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
        posix_spawn_file_actions_addclose(&actions, ends[0]);
        std::vector<std::string> words{command,    "node",  "--listen",      "tcp://127.0.0.1:0",
                                       "--memory", "64MiB", "--secret-file", secret_file};
        std::vector<char*> argv;
        for (std::string& word : words) {
            argv.push_back(word.data());
        }
        argv.push_back(nullptr);
        if (::posix_spawn(&pid_, command.c_str(), &actions, nullptr, argv.data(), environ) != 0) {
            pid_ = 0;
        }
        posix_spawn_file_actions_destroy(&actions);
        ::close(ends[1]);
        out_ = ends[0];
        constexpr std::string_view before = "sluice node: serving ";
        std::string line;
        for (char c = 0; ::read(out_, &c, 1) == 1 && c != '\n';) {
            line += c;
        }
        if (line.rfind(before, 0) == 0) {
            address_ = line.substr(before.size());
        }
    }
    node_process(const node_process&) = delete;
    node_process& operator=(const node_process&) = delete;
    ~node_process() {
        kill();
        ::close(out_);
    }

    /// "tcp://127.0.0.1:1234"; empty: it did not start.
    [[nodiscard]] const std::string& address() const noexcept { return address_; }

    /// At once, as a machine that fails does; returns when it is gone.
    void kill() {
        if (pid_ <= 0) {
            return;
        }
        ::kill(pid_, SIGKILL);
        while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
        }
        pid_ = 0;
    }

 private:
    pid_t pid_ = 0;
    int out_ = -1;
    std::string address_;
};

}  // namespace sluice_test
