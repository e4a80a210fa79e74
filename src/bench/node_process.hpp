// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

namespace sluice::bench {

struct node_process_options {
    std::string provider = "tcp";
    std::uint64_t memory = 0;  ///< bytes
    /// What runs a memory node; its flags are added.
    std::vector<std::string> command{"/proc/self/exe", "node"};
};

/// A memory node as a child process, on a free port of the loopback interface, with a secret of its
/// own. It ends with this object or, at the latest, with the thread that started it.
class node_process {
 public:
    /// Returns when it serves.
    /// \return kUnavailable: it could not be started, or ended before it served.
    [[nodiscard]] static absl::StatusOr<std::unique_ptr<node_process>> start(
        const node_process_options& options);
    ~node_process();
    node_process(const node_process&) = delete;
    node_process& operator=(const node_process&) = delete;

    [[nodiscard]] const std::string& address() const noexcept { return address_; }
    [[nodiscard]] const std::string& secret_file() const noexcept { return secret_file_; }
    [[nodiscard]] pid_t id() const noexcept { return child_; }

 private:
    node_process() = default;
    absl::Status write_secret();
    absl::Status launch(const node_process_options& options);
    absl::Status await_address();

    pid_t child_ = -1;
    int output_ = -1;  // of the child
    std::string secret_file_;
    std::string address_;
};

}  // namespace sluice::bench
