// SPDX-License-Identifier: Apache-2.0
#include "l3_store.hpp"

#include <utility>

#include <sluice/store/memory_store.hpp>

namespace sluice::replay {
namespace {

class own_l3 final : public l3_store {
 public:
    explicit own_l3(std::unique_ptr<memory_store> blocks) noexcept : blocks_(std::move(blocks)) {}

    store& blocks() noexcept override { return *blocks_; }
    absl::Status set_link_rate(double bytes_per_second) noexcept override {
        return blocks_->set_link_rate(bytes_per_second);
    }
    absl::StatusOr<std::uint64_t> block_count() override { return blocks_->stats().blocks; }

 private:
    std::unique_ptr<memory_store> blocks_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<l3_store>> open_l3(const l3_spec& spec, std::uint64_t bytes,
                                                  double link_rate) {
    if (spec.nodes > 0) {
        return open_l3_nodes(spec, bytes, link_rate);
    }
    absl::StatusOr<std::unique_ptr<memory_store>> made =
        memory_store::create({.capacity = bytes, .link_rate = link_rate});
    if (!made.ok()) {
        return made.status();
    }
    return std::make_unique<own_l3>(std::move(*made));
}

}  // namespace sluice::replay
