// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include <sys/types.h>

#include <absl/status/statusor.h>

#include "../replay/node_process.hpp"
#include "../replay/secret_file.hpp"

namespace sluice::bench {

/// A memory node of its own for a measurement, with a secret of its own.
class bench_node {
 public:
    /// Returns when it serves. For errors see replay::node_process.
    [[nodiscard]] static absl::StatusOr<std::unique_ptr<bench_node>> start(
        const std::string& provider, std::uint64_t memory);

    [[nodiscard]] const std::string& address() const noexcept { return address_; }
    [[nodiscard]] const std::string& secret_file() const noexcept { return secret_.path(); }
    [[nodiscard]] pid_t id() const noexcept { return process_.id(); }

 private:
    bench_node(replay::secret_file secret, replay::node_process process) noexcept
        : secret_(std::move(secret)), process_(std::move(process)) {}

    replay::secret_file secret_;
    replay::node_process process_;
    std::string address_;
};

}  // namespace sluice::bench
