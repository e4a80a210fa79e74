// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include <sys/types.h>

#include <absl/status/statusor.h>

namespace sluice::replay {

struct node_process_options {
    std::string program;  ///< that knows the subcommand `node`; empty: this one
    std::string secret_file;
    std::string provider;
    std::uint64_t memory = 0;  ///< bytes for blocks
};

/// A memory node on this machine as a child process. It ends with this object, or when the thread
/// that started it ends, whatever the reason. By one thread.
class node_process {
 public:
    /// Returns before it serves.
    /// \return kResourceExhausted: no process or pipe is to be had.
    [[nodiscard]] static absl::StatusOr<node_process> start(const node_process_options& options);
    node_process(node_process&& other) noexcept;
    node_process& operator=(node_process&&) = delete;
    ~node_process();

    /// Waits until it serves, for a minute at most. Once.
    /// \return "tcp://host:port"; kUnavailable: it has ended (and has said why on standard error);
    ///         kDeadlineExceeded.
    [[nodiscard]] absl::StatusOr<std::string> address();

    [[nodiscard]] pid_t id() const noexcept { return pid_; }

 private:
    node_process(pid_t pid, int output) noexcept : pid_(pid), output_(output) {}

    pid_t pid_;   // -1: none
    int output_;  // what it prints; at its end when it has ended
};

}  // namespace sluice::replay
