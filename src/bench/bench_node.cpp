// SPDX-License-Identifier: Apache-2.0
#include "bench_node.hpp"

#include <sluice/base/status.hpp>

namespace sluice::bench {

absl::StatusOr<std::unique_ptr<bench_node>> bench_node::start(const std::string& provider,
                                                              std::uint64_t memory) {
    absl::StatusOr<replay::secret_file> secret = replay::secret_file::create();
    SLUICE_RETURN_IF_ERROR(secret.status());
    absl::StatusOr<replay::node_process> process =
        replay::node_process::start({"", secret->path(), provider, memory});
    SLUICE_RETURN_IF_ERROR(process.status());
    std::unique_ptr<bench_node> out(new bench_node(*std::move(secret), *std::move(process)));
    absl::StatusOr<std::string> address = out->process_.address();
    SLUICE_RETURN_IF_ERROR(address.status());
    out->address_ = *std::move(address);
    return out;
}

}  // namespace sluice::bench
