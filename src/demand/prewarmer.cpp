// SPDX-License-Identifier: Apache-2.0
#include <sluice/demand/prewarmer.hpp>

#include <algorithm>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "prewarmer_core.hpp"

namespace sluice::demand {

warm_done::warm_done(std::shared_ptr<detail::warm_inbox> to, std::uint64_t attempt) noexcept
    : to_(std::move(to)), attempt_(attempt) {}

void warm_done::operator()(absl::Status status) const noexcept {
    if (to_ != nullptr) {
        detail::warm_inbox::push(to_, {attempt_, std::move(status)});
    }
}

prewarmer::prewarmer(loop& on, const prewarmer_options& options)
    : core_(std::make_unique<core>(on, options)) {}

prewarmer::~prewarmer() = default;

absl::StatusOr<need_handle> prewarmer::expect(warmable& what, warm_key key,
                                              const need_forecast& forecast) {
    return core_->expect(what, key, forecast);
}

absl::Status prewarmer::update(need_handle need, const need_forecast& forecast) {
    return core_->update(need, forecast);
}

warm_state prewarmer::arrived(need_handle need) { return core_->arrived(need); }

void prewarmer::withdraw(need_handle need) { core_->withdraw(need); }

void prewarmer::refresh() { core_->refresh(); }

warm_state prewarmer::state(need_handle need) const noexcept { return core_->state(need); }

time_point prewarmer::next_at(need_handle need) const noexcept { return core_->next_at(need); }

std::uint32_t prewarmer::needs() const noexcept { return core_->needs(); }

std::uint32_t prewarmer::held() const noexcept { return core_->held(); }

const prewarmer_stats& prewarmer::stats() const noexcept { return core_->stats(); }

}  // namespace sluice::demand
